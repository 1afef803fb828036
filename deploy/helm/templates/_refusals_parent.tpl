{{/* What a parent chart hands down, and keys of labels and annotations: refused as in _refusals.tpl, with a sentence. */}}

{{- define "raft.refuse.parent" -}}
{{- if and (hasKey .Values "enabled") (not .Values.enabled) }}
enabled is false, and the chart is rendered all the same: in a parent chart give the dependency `condition: {{ .Chart.Name }}.enabled`, and a release of this chart alone ends with helm uninstall.
{{- end }}
{{- end -}}

{{/* Keys of every map of labels or annotations in the values, wherever it stands: a schema names no place for a key. */}}
{{- define "raft.refuse.keys" -}}
{{- include "raft.badKeys" (list "" (omit .Values "global" "extraObjects")) -}}
{{- end -}}

{{/* Takes (list path value). */}}
{{- define "raft.badKeys" -}}
{{- $path := index . 0 -}}
{{- $value := index . 1 -}}
{{- if kindIs "slice" $value -}}
{{- range $i, $inner := $value -}}
{{- include "raft.badKeys" (list (printf "%s[%d]" $path $i) $inner) -}}
{{- end -}}
{{- else if kindIs "map" $value -}}
{{- range $key, $inner := $value -}}
{{- if and (kindIs "map" $inner) (regexMatch "([lL]abels|[aA]nnotations|nodeSelector)$" $key) -}}
{{- range $name, $_ := $inner -}}
{{- $form := regexMatch "[aA]nnotations$" $key | ternary (lower $name) $name -}}
{{- if or (not (regexMatch "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$" $form)) (gt (splitList "/" $form | first | len) 253) }}
{{ printf "%s.%s" $path $key | trimPrefix "." }}.{{ include "raft.shown" $name }} cannot be the key of {{ regexMatch "[aA]nnotations$" $key | ternary "an annotation" "a label" }}: write up to 63 letters, digits, dashes, underscores and dots, a letter or digit at both ends, and before them a DNS name with a slash, if any, such as example.org/team.
{{- end -}}
{{- end -}}
{{- else -}}
{{- include "raft.badKeys" (list (printf "%s.%s" $path $key) $inner) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
