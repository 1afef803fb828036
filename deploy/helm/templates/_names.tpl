{{/* Names and labels. Every object of the chart takes them from here. */}}

{{- define "raft.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{/* <release>-raft, or the release's name alone where it says "raft" already; raft-<release> where the release begins with
     a digit, for a Service's name must begin with a letter. */}}
{{- define "raft.fullname" -}}
{{- $name := include "raft.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if regexMatch "^[0-9]" .Release.Name -}}
{{- printf "%s-%s" $name .Release.Name -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name -}}
{{- end -}}
{{- end -}}

{{- define "raft.headless" -}}
{{- include "raft.fullname" . }}-headless
{{- end -}}

{{/* Where every object lives. */}}
{{- define "raft.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "raft.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "raft.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The repository, in the registry that a parent chart gives to all (global.imageRegistry) unless it names its own: then its
     first part has a dot or a port, or is localhost. */}}
{{- define "raft.repository" -}}
{{- $repository := .Values.image.repository -}}
{{- $registry := dig "imageRegistry" "" (.Values.global | default dict) | default "" | trimSuffix "/" -}}
{{- if and $registry (not (regexMatch "^(localhost|[^/]*[.:][^/]*)/" $repository)) -}}
{{- printf "%s/%s" $registry $repository -}}
{{- else -}}
{{- $repository -}}
{{- end -}}
{{- end -}}

{{- define "raft.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" (include "raft.repository" .) $image.digest -}}
{{- else -}}
{{- printf "%s:%s" (include "raft.repository" .) (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Secrets for a private registry, this chart's and then a parent's, each once: names, or objects as in a pod's spec. */}}
{{- define "raft.pullSecrets" -}}
{{- $names := list -}}
{{- range concat .Values.image.pullSecrets (dig "imagePullSecrets" list (.Values.global | default dict) | default list) -}}
{{- $names = append $names (kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") .) -}}
{{- end -}}
{{- with $names | uniq -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The class of the claims: this chart's, else a parent's, else "", which is the cluster's default; "-" is none. */}}
{{- define "raft.storageClass" -}}
{{- $global := .Values.global | default dict -}}
{{- coalesce .Values.persistence.storageClass (dig "storageClass" "" $global) (dig "defaultStorageClass" "" $global) | default "" -}}
{{- end -}}

{{/* What a pod is found by. The StatefulSet's selector cannot be changed, so nothing may ever be added here. Quoted, as
     every name is: a release may be called 2024 or true. */}}
{{- define "raft.instanceLabels" -}}
app.kubernetes.io/name: {{ include "raft.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "raft.selectorLabels" -}}
{{ include "raft.instanceLabels" . }}
app.kubernetes.io/component: node
{{- end -}}

{{/* Labels of every object beside those it is found by; takes (list root component). */}}
{{- define "raft.labels" -}}
{{- $root := index . 0 -}}
{{ include "raft.instanceLabels" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: {{ include "raft.name" $root | quote }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of a pod, those of podLabels among them: without chart and version, so that a new chart alone rolls no pod. */}}
{{- define "raft.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "raft.instanceLabels" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: {{ include "raft.name" $root | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with merge (dict) $root.Values.podLabels $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata.annotations of an object: commonAnnotations and those given; takes (list root annotations). */}}
{{- define "raft.annotations" -}}
{{- $all := merge (dict) (index . 1 | default dict) (index . 0).Values.commonAnnotations -}}
{{- with $all -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
