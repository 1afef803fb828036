{{/* What a node is told: every line becomes a variable RAFT_..., so that a changed value changes the pod template. */}}

{{/* The members of the birth: the pods 0 to n-1 by their headless names, never by an address. */}}
{{- define "raft.seeds" -}}
{{- $name := include "raft.fullname" . -}}
{{- $domain := printf "%s.%s.svc" (include "raft.headless" .) (include "raft.namespace" .) -}}
{{- $seeds := list -}}
{{- range $i := until (int .Values.replicaCount) -}}
{{- $seeds = append $seeds (printf "%s-%d=%s-%d.%s:9001" $name $i $name $i $domain) -}}
{{- end -}}
{{- join "," $seeds -}}
{{- end -}}

{{/* Who is let in by itself: the pods of this StatefulSet, of whose names at most one pod each can run. A pod whose claim is
     lost then takes the place of its old disk. */}}
{{- define "raft.autoMembers" -}}
{{- $names := list -}}
{{- range $i := until (int .Values.replicaCount) -}}
{{- $names = append $names (printf "%s-%d" (include "raft.fullname" $) $i) -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{/* Names that clients and peers may use for this pod, from the shortest to the full one. */}}
{{- define "raft.allowedHosts" -}}
{{- $namespace := include "raft.namespace" . -}}
{{- $cluster := .Values.clusterDomain -}}
{{- $hosts := list "$(RAFT_NAME)" -}}
{{- $headless := include "raft.headless" . -}}
{{- range $name := list (printf "$(RAFT_NAME).%s" $headless) (include "raft.fullname" .) $headless -}}
{{- $hosts = concat $hosts (list $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) (printf "%s.%s.svc.%s" $name $namespace $cluster)) -}}
{{- end -}}
{{- join "," (concat $hosts .Values.extraAllowedHosts (include "raft.outsideHosts" . | fromYamlArray) | uniq) -}}
{{- end -}}

{{- define "raft.environment" -}}
- name: RAFT_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: RAFT_SEEDS
  value: {{ include "raft.seeds" . | quote }}
- name: RAFT_DATA_DIR
  value: /var/lib/raft
- name: RAFT_HOST
  value: {{ .Values.listenAddress | quote }}
- name: RAFT_PORT
  value: "8001"
{{- if .Values.operations.enabled }}
- name: RAFT_OPERATIONS_PORT
  value: "8002"
{{- end }}
- name: RAFT_PEER_HOST
  value: {{ .Values.listenAddress | quote }}
- name: RAFT_PEER_PORT
  value: "9001"
- name: RAFT_PEER_ADDRESS
  value: "$(RAFT_NAME).{{ include "raft.headless" . }}.{{ include "raft.namespace" . }}.svc:9001"
- name: RAFT_AUTO_MEMBERS
  value: {{ include "raft.autoMembers" . | quote }}
- name: RAFT_CLIENT_URL
  value: "{{ include "raft.scheme" . }}://$(RAFT_NAME).{{ include "raft.headless" . }}.{{ include "raft.namespace" . }}.svc:8001"
# For commands that are run in the pod: this node first, then all.
- name: RAFT_URLS
  value: {{ printf "%s://$(RAFT_NAME).%s.%s.svc:8001,%s" (include "raft.scheme" .) (include "raft.headless" .) (include "raft.namespace" .) (include "raft.endpoints" .) | quote }}
- name: RAFT_ALLOWED_HOSTS
  value: {{ include "raft.allowedHosts" . | quote }}
{{- with include "raft.tlsOfNodes" . }}
{{ . }}
{{- end }}
{{- if .Values.auth.existingSecret }}
- name: RAFT_TOKENS_FILE
  value: /etc/raft/access/tokens
{{- end }}
{{- range $key, $value := include "raft.settings" . | fromYaml }}
- name: RAFT_{{ upper $key }}
  value: {{ if kindIs "float64" $value }}{{ $value | int64 | quote }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- end -}}

{{/* How clients reach each pod. */}}
{{- define "raft.endpoints" -}}{{ include "raft.endpointsBy" (list . (include "raft.scheme" .)) }}{{- end -}}

{{/* Takes (list root scheme). */}}
{{- define "raft.endpointsBy" -}}
{{- $scheme := index . 1 -}}
{{- with index . 0 -}}
{{- $urls := list -}}
{{- $root := . -}}
{{- range $i := until (int .Values.replicaCount) -}}
{{- $urls = append $urls (printf "%s://%s-%d.%s.%s.svc:8001" $scheme (include "raft.fullname" $root) $i (include "raft.headless" $root) (include "raft.namespace" $root)) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}
{{- end -}}
