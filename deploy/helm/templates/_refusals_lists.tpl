{{/* Lists that are handed through to Kubernetes, which takes each name once and answers with a riddle (`duplicate entries for key`),
     where the Job before the upgrade has run already. */}}
{{- define "raft.refuse.twice" -}}
{{- range $where, $names := dict
      "extraEnv" (dict "key" "name" "in" .Values.extraEnv)
      "extraVolumes" (dict "key" "name" "in" .Values.extraVolumes)
      "extraVolumeMounts" (dict "key" "mountPath" "in" .Values.extraVolumeMounts)
      "extraContainers and extraInitContainers" (dict "key" "name" "in" (concat .Values.extraContainers .Values.extraInitContainers)) }}
{{- $seen := list }}
{{- range $names.in }}
{{- $name := get . $names.key }}
{{- if has $name $seen }}
{{ $where }} {{ contains " and " $where | ternary "hold" "holds" }} {{ include "raft.shown" $name }} twice, and a pod has each {{ $names.key }} once: remove one of the two.
{{- end }}
{{- $seen = append $seen $name }}
{{- end }}
{{- end }}
{{- $volumes := list "data" "tls" "access" "token" "restore-from" }}
{{- range .Values.extraVolumes }}{{ $volumes = append $volumes .name }}{{ end }}
{{- range .Values.extraVolumeMounts }}
{{- if not (has .name $volumes) }}
extraVolumeMounts holds the volume {{ include "raft.shown" .name }}, which is not in extraVolumes: add it there, or write the name as it stands there.
{{- end }}
{{- end }}
{{- if and .Values.restore.from (not .Values.restore.claim) }}
{{- range include "raft.s3Environment" . | fromYamlArray }}
{{- $ours := .name }}
{{- range $.Values.extraEnv }}
{{- if eq .name $ours }}
extraEnv holds {{ .name }}, which objectStorage gives to the step before a node's first start (restore.from): remove it, and set that.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
