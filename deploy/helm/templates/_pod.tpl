{{/* The pod of a node, and what every pod of the chart has in common. Everything passes the restricted standard. */}}

{{- define "raft.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.securityContext.runAsUser }}
runAsUser: {{ . | int64 }}
{{- end }}
{{- with .Values.securityContext.runAsGroup }}
runAsGroup: {{ . | int64 }}
{{- end }}
{{- with .Values.securityContext.fsGroup }}
fsGroup: {{ . | int64 }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "raft.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A probe; takes (list root probe path). Without a port for operations it asks at the clients'. A kubelet checks no
     certificate, and has none to show: where one is demanded, a command in the container shows the node's own to itself. */}}
{{- define "raft.probe" -}}
{{- $root := index . 0 -}}
{{- $probe := index . 1 -}}
{{- if $root.Values.operations.enabled -}}
httpGet:
  path: {{ index . 2 }}
  port: operations
  {{- if eq (include "raft.operationsScheme" $root) "https" }}
  scheme: HTTPS
  {{- end }}
{{- else if include "raft.clientsShow" $root -}}
exec:
  command: [python, -m, node.healthcheck, {{ index . 2 | trimPrefix "/" }}]
{{- else -}}
httpGet:
  path: {{ index . 2 }}
  port: client
  {{- if eq (include "raft.ownScheme" $root) "https" }}
  scheme: HTTPS
  {{- end }}
{{- end }}
periodSeconds: {{ $probe.periodSeconds }}
timeoutSeconds: {{ $probe.timeoutSeconds }}
failureThreshold: {{ int64 $probe.failureThreshold }}
{{- end -}}

{{- define "raft.affinity" -}}
{{- $affinity := deepCopy .Values.affinity -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "raft.selectorLabels" . | fromYaml)) -}}
{{- if eq .Values.podAntiAffinityPreset "hard" -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- else if eq .Values.podAntiAffinityPreset "soft" -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term))) -}}
{{- end -}}
{{- with $affinity -}}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "raft.topologySpread" -}}
{{- $rules := list -}}
{{- range $key, $when := dict "kubernetes.io/hostname" .Values.topologySpread.nodes "topology.kubernetes.io/zone" .Values.topologySpread.zones -}}
{{- if ne $when "none" -}}
{{- $rule := dict "topologyKey" $key "maxSkew" 1 "whenUnsatisfiable" $when "labelSelector" (dict "matchLabels" (include "raft.selectorLabels" $ | fromYaml)) -}}
{{- if and (hasSuffix "/zone" $key) $.Values.topologySpread.minZones -}}
{{- $_ := set $rule "minDomains" (int $.Values.topologySpread.minZones) -}}
{{- end -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- with $rules -}}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "raft.podSpec" -}}
serviceAccountName: {{ include "raft.serviceAccountName" . | quote }}
automountServiceAccountToken: false
# The links that Kubernetes adds for a Service named raft are called RAFT_..., which a node takes for unknown settings.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  {{- include "raft.podSecurity" . | nindent 2 }}
{{- with include "raft.pullSecrets" . }}
{{ . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "raft.affinity" . }}
{{ . }}
{{- end }}
{{- with include "raft.topologySpread" . }}
{{ . }}
{{- end }}
{{- $restore := include "raft.restoreStep" . -}}
{{- if or $restore .Values.extraInitContainers }}
initContainers:
  {{- with $restore }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.extraInitContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
containers:
  - name: node
    image: {{ include "raft.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    securityContext:
      {{- include "raft.containerSecurity" . | nindent 6 }}
    env:
      {{- include "raft.environment" . | nindent 6 }}
      {{- with .Values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      - name: client
        containerPort: 8001
        protocol: TCP
      - name: peer
        containerPort: 9001
        protocol: TCP
      {{- if .Values.operations.enabled }}
      - name: operations
        containerPort: 8002
        protocol: TCP
      {{- end }}
    startupProbe:
      {{- include "raft.probe" (list . (merge (dict "failureThreshold" (include "raft.startFailures" .)) .Values.probes.startup) "/startupz") | nindent 6 }}
    readinessProbe:
      {{- include "raft.probe" (list . .Values.probes.readiness "/readyz") | nindent 6 }}
    livenessProbe:
      {{- include "raft.probe" (list . .Values.probes.liveness "/livez") | nindent 6 }}
    resources:
      {{- include "raft.resources" . | nindent 6 }}
    {{- with .Values.lifecycle }}
    lifecycle:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
      - name: data
        mountPath: /var/lib/raft
      {{- with list (include "raft.tlsMount" .) (include "raft.tokensMount" .) | compact }}
      {{- join "\n" . | nindent 6 }}
      {{- end }}
      {{- with .Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- /* No volume of the machine's own beside the data, or a plain `kubectl drain` would refuse the pod: a node writes nothing else. */}}
{{- $own := list (include "raft.restoreVolume" .) (include "raft.tlsVolume" (list . "node")) (include "raft.tokensVolume" .) | compact -}}
{{- if or $own .Values.extraVolumes }}
volumes:
  {{- with $own }}
  {{- join "\n" . | nindent 2 }}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
