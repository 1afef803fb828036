{{/* What Kubernetes takes once by its name: Helm 4 fails on the second half-way, with a riddle. */}}
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
