{{/* Jobs that see to it that the members are the pods 0 to replicaCount-1: `raft-node members fit` with the node's own image. They
     need no right in Kubernetes, and ask the nodes alone. A Job's pod cannot be changed, so its name has a hash of what it is: it may
     be applied again and again. */}}

{{/* "true" where the Jobs could do nothing: nodes ask for a token, and none is given for that. */}}
{{- define "raft.jobsAreMute" -}}
{{- if and .Values.auth.existingSecret (not .Values.auth.clientsSecret) -}}true{{- end -}}
{{- end -}}

{{/* metadata.name of a Job; takes (list root word spec). */}}
{{- define "raft.jobName" -}}
{{- printf "%s-%s-%s" (include "raft.fullname" (index . 0)) (index . 1) (sha256sum (index . 2) | trunc 5) -}}
{{- end -}}

{{/* spec of a Job; takes (list root arguments retries optional). Not with the release's own account: before a first sync of Argo CD there
     is none. Nor, where it is optional, with Secrets that have to be there: whoever makes them (cert-manager, an operator) is told to
     by that sync. */}}
{{- define "raft.membersJob" -}}
{{- $root := index . 0 -}}
{{- with $root -}}
{{- $scheme := include "raft.schemeOfBoth" . -}}
{{- $secure := eq $scheme "https" -}}
backoffLimit: {{ index $ 2 }}
ttlSecondsAfterFinished: 3600
template:
  metadata:
    labels:
      {{- include "raft.podLabels" (list . "members") | nindent 6 }}
  spec:
    restartPolicy: Never
    automountServiceAccountToken: false
    enableServiceLinks: false
    securityContext:
      {{- include "raft.podSecurity" . | nindent 6 }}
    {{- with include "raft.pullSecrets" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.priorityClassName }}
    priorityClassName: {{ . | quote }}
    {{- end }}
    {{- with .Values.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    terminationGracePeriodSeconds: 5
    containers:
      - name: members
        image: {{ include "raft.image" . | quote }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        securityContext:
          {{- include "raft.containerSecurity" . | nindent 10 }}
        command: [tini, --, raft-node, members, fit, --names, {{ include "raft.autoMembers" . | quote }}]
        args: {{ toJson (index $ 1) }}
        terminationMessagePolicy: FallbackToLogsOnError
        env:
          - name: RAFT_URLS
            value: {{ include "raft.endpointsBy" (list . $scheme) | quote }}
          {{- with list (ternary (include "raft.tlsOfClients" .) "" $secure) (include "raft.tokenOfClients" .) | compact | join "\n" }}
          {{- . | nindent 10 }}
          {{- end }}
        {{- with list (ternary (include "raft.tlsMount" .) "" $secure) (include "raft.tokenMount" .) | compact | join "\n" }}
        volumeMounts:
          {{- . | nindent 10 }}
        {{- end }}
        resources:
          requests:
            cpu: 50m
            memory: 64Mi
          limits:
            memory: 256Mi
    {{- with list (ternary (include "raft.tlsVolume" (list . "client" (index $ 3) (ternary (include "raft.shownBefore" .) "" (index $ 3)))) "" $secure) (include "raft.tokenVolume" (list . "operate")) | compact | join "\n" }}
    volumes:
      {{- . | nindent 6 }}
    {{- end }}
{{- end -}}
{{- end -}}
