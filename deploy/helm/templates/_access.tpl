{{/* Who may do what: the tokens that nodes ask for, and those that the chart's own clients show. Neither is in any template:
     a changed Secret rolls nothing, nodes see it in their files. */}}

{{/* For a node: hashes, of use to nobody. As a folder, never by subPath, which is not renewed. */}}
{{- define "raft.tokensVolume" -}}
{{- with .Values.auth.existingSecret -}}
- name: access
  secret:
    secretName: {{ . | quote }}
    {{- if $.Values.securityContext.fsGroup }}
    defaultMode: 0440
    {{- end }}
    items:
      - {key: tokens, path: tokens}
{{- end -}}
{{- end -}}

{{- define "raft.tokensMount" -}}
{{- if .Values.auth.existingSecret -}}
- name: access
  mountPath: /etc/raft/access
  readOnly: true
{{- end -}}
{{- end -}}

{{/* For a pod that asks nodes; takes (list root role). Nothing where no token is asked for, or none is given for that. */}}
{{- define "raft.tokenVolume" -}}
{{- $auth := (index . 0).Values.auth -}}
{{- if and $auth.existingSecret $auth.clientsSecret -}}
- name: token
  secret:
    secretName: {{ $auth.clientsSecret | quote }}
    optional: true # or a pod whose token is missing would wait for it in silence, instead of saying so
    {{- if (index . 0).Values.securityContext.fsGroup }}
    defaultMode: 0440
    {{- end }}
    items:
      - {key: {{ index . 1 }}, path: token}
{{- end -}}
{{- end -}}

{{- define "raft.tokenMount" -}}
{{- if and .Values.auth.existingSecret .Values.auth.clientsSecret -}}
- name: token
  mountPath: /etc/raft/token
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "raft.tokenOfClients" -}}
{{- if and .Values.auth.existingSecret .Values.auth.clientsSecret -}}
- name: RAFT_TOKEN_FILE
  value: /etc/raft/token/token
{{- end -}}
{{- end -}}

{{/* All that a pod of the chart needs to ask nodes: variables, mounts and volumes; the last takes (list root role). */}}
{{- define "raft.asking.env" -}}
{{- list (include "raft.tlsOfClients" .) (include "raft.tokenOfClients" .) | compact | join "\n" -}}
{{- end -}}
{{- define "raft.asking.mounts" -}}
{{- list (include "raft.tlsMount" .) (include "raft.tokenMount" .) | compact | join "\n" -}}
{{- end -}}
{{- define "raft.asking.volumes" -}}
{{- list (include "raft.tlsVolume" (list (index . 0) "client" true)) (include "raft.tokenVolume" .) | compact | join "\n" -}}
{{- end -}}

{{- define "raft.refuse.auth" -}}
{{- $auth := .Values.auth -}}
{{- range $key, $name := dict "auth.existingSecret" $auth.existingSecret "auth.clientsSecret" $auth.clientsSecret }}
{{- if and $name (not (regexMatch "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$" $name)) }}
{{ $key }} {{ include "raft.shown" $name }} cannot be the name of anything in Kubernetes: write the one that `kubectl get` shows, of lower-case letters, digits, dashes and dots.
{{- end }}
{{- end }}
{{- if and $auth.clientsSecret (not $auth.existingSecret) }}
auth.clientsSecret {{ include "raft.shown" $auth.clientsSecret }} is not used while auth.existingSecret is empty, for nobody is asked for a token: set that, or remove this.
{{- end }}
{{- $monitoring := .Values.monitoring }}
{{- if and $auth.existingSecret (not $auth.clientsSecret) (not .Values.operations.enabled) (or $monitoring.podMonitor.enabled $monitoring.serviceMonitor.enabled) }}
auth.existingSecret has nodes ask Prometheus for a token, and it has none: set auth.clientsSecret to a Secret with one of role read under the key read, or set operations.enabled.
{{- end }}
{{- if and $auth.existingSecret (not $auth.clientsSecret) .Values.backup.enabled }}
auth.existingSecret has nodes ask whoever takes a backup for a token, and backup.enabled has none: set auth.clientsSecret to a Secret with one of role operate under the key operate.
{{- end }}
{{- if $auth.existingSecret }}
{{- range .Values.extraVolumes }}
{{- if eq (.name | default "") "access" }}
extraVolumes holds a volume named access, which the chart has itself: call it something else.
{{- end }}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if regexMatch "^/etc/raft/access(/.*)?$" (.mountPath | default "") }}
extraVolumeMounts holds {{ .mountPath }}, where the chart mounts the tokens: mount it elsewhere.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
