{{/* What the value `size` sets where a value is empty (files/sizes.yaml). Templates take settings, resources and the size of a
     volume from here, never from .Values. */}}

{{- define "raft.size" -}}
{{- get (.Files.Get "files/sizes.yaml" | fromYaml) (.Values.size | default "medium") | toYaml -}}
{{- end -}}

{{/* Settings as they are meant: what was taken away (null) is not there, and the node's own default holds. */}}
{{- define "raft.settings" -}}
{{- $preset := (include "raft.size" . | fromYaml).settings -}}
{{- $settings := dict -}}
{{- range $key, $value := .Values.settings -}}
{{- if and (kindIs "string" $value) (eq (toString $value) "") (hasKey $preset $key) -}}
{{- $value = get $preset $key -}}
{{- end -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $settings $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* resources of the node's container; an empty amount is the size's, one that was taken away is none. */}}
{{- define "raft.resources" -}}
{{- $preset := (include "raft.size" . | fromYaml).resources -}}
{{- $resources := deepCopy .Values.resources -}}
{{- range $which := list "requests" "limits" -}}
{{- range $key, $value := get $resources $which | default dict -}}
{{- if eq (toString $value) "" -}}
{{- $sized := dig $which $key "" $preset -}}
{{- if $sized -}}
{{- $_ := set (get $resources $which) $key $sized -}}
{{- else -}}
{{- $_ := unset (get $resources $which) $key -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "raft.volumeSize" -}}
{{- .Values.persistence.size | default (include "raft.size" . | fromYaml).persistence.size -}}
{{- end -}}

{{/* Seconds that a start may take: 60, and one for each MiB of a full log (probes in values.yaml). */}}
{{- define "raft.startSeconds" -}}
{{- add 60 (div (include "raft.bytes" ((include "raft.settings" . | fromYaml).max_log_bytes | default "256MiB") | int64) 1048576) -}}
{{- end -}}

{{- define "raft.startFailures" -}}
{{- $start := .Values.probes.startup -}}
{{- $period := int64 $start.periodSeconds -}}
{{- $start.failureThreshold | default (div (add (include "raft.startSeconds" . | int64) (sub $period 1)) $period) -}}
{{- end -}}
