{{/* What stands between nodes and whoever is not in the cluster: families of addresses, names, an Ingress, routes of a Gateway. */}}

{{/* Both Services alike, for nodes find each other in one and clients find nodes in the other. */}}
{{- define "raft.families" -}}
{{- $families := dict -}}
{{- range $key := list "ipFamilyPolicy" "ipFamilies" -}}
{{- with get $.Values.service $key -}}{{- $_ := set $families $key . -}}{{- end -}}
{{- end -}}
{{- with $families -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* Names that an Ingress or a Gateway leaves in Host: a node must know them. */}}
{{- define "raft.outsideHosts" -}}
{{- $hosts := list -}}
{{- with .Values.ingress -}}{{- if .enabled -}}{{- $hosts = concat $hosts (.hosts | default list) (.grpcHosts | default list) -}}{{- end -}}{{- end -}}
{{- with .Values.gateway -}}{{- if .enabled -}}{{- $hosts = concat $hosts (.hostnames | default list) (.grpcHostnames | default list) -}}{{- end -}}{{- end -}}
{{- toYaml $hosts -}}
{{- end -}}

{{/* Annotations of an Ingress: those given, and how ingress-nginx speaks to pods where that is not HTTP/1 in plain text; takes (list
     root given protocol-with-TLS protocol-without). */}}
{{- define "raft.ingressAnnotations" -}}
{{- $protocol := eq (include "raft.scheme" (index . 0)) "https" | ternary (index . 2) (index . 3) -}}
{{- $own := dict -}}
{{- if $protocol -}}{{- $own = dict "nginx.ingress.kubernetes.io/backend-protocol" $protocol -}}{{- end -}}
{{- merge (dict) (index . 1 | default dict) $own | toYaml -}}
{{- end -}}

{{/* Everything of one host to the Service; takes (list root host port). */}}
{{- define "raft.ingressRule" -}}
{{- $root := index . 0 -}}
- host: {{ index . 1 | quote }}
  http:
    paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: {{ include "raft.fullname" $root | quote }}
            port:
              name: {{ index . 2 }}
{{- end -}}

{{- define "raft.refuse.service" -}}
{{- $service := .Values.service -}}
{{- if and $service.nodePort (eq $service.type "ClusterIP") }}
service.nodePort {{ $service.nodePort }} needs service.type NodePort or LoadBalancer: set that, or remove the port.
{{- end }}
{{- if and $service.externalTrafficPolicy (eq $service.type "ClusterIP") }}
service.externalTrafficPolicy {{ $service.externalTrafficPolicy }} needs service.type NodePort or LoadBalancer: set that, or remove the policy.
{{- end }}
{{- range $key := list "loadBalancerClass" "loadBalancerSourceRanges" }}
{{- if and (get $service $key) (ne $service.type "LoadBalancer") }}
service.{{ $key }} is for service.type LoadBalancer, and it is {{ $service.type }}: set that, or remove it.
{{- end }}
{{- end }}
{{- if and $service.grpcPort (eq (toString $service.grpcPort) (toString $service.port)) }}
service.grpcPort {{ $service.grpcPort }} is service.port, too, and a Service has each port once: choose another, such as 2379.
{{- end }}
{{- $policy := $service.ipFamilyPolicy | default "SingleStack" -}}
{{- $families := $service.ipFamilies | default list -}}
{{- $six := or (has "IPv6" $families) (ne $policy "SingleStack") }}
{{- if and $six (ne .Values.listenAddress "::") }}
service.ipFamilyPolicy or service.ipFamilies asks for IPv6, where pods that listen on {{ .Values.listenAddress }} answer nobody: set listenAddress to "::", which takes both.
{{- end }}
{{- if and (eq $policy "SingleStack") (gt (len $families) 1) }}
service.ipFamilies names two families, and a Service has one unless service.ipFamilyPolicy is PreferDualStack or RequireDualStack: set that, or leave one family.
{{- end }}
{{- end -}}

{{- define "raft.refuse.outside" -}}
{{- $ingress := merge (dict) (.Values.ingress | default dict) (dict "hosts" list "grpcHosts" list "tls" list) -}}
{{- $gateway := merge (dict) (.Values.gateway | default dict) (dict "hostnames" list "grpcHostnames" list) -}}
{{- if and $ingress.enabled (not (concat ($ingress.hosts | default list) ($ingress.grpcHosts | default list))) }}
ingress.enabled needs ingress.hosts, for a node answers to names that it knows alone: name one, such as raft.example.org.
{{- end }}
{{- range $hosts := $ingress.tls }}
{{- range .hosts }}
{{- if not (has . (concat ($ingress.hosts | default list) ($ingress.grpcHosts | default list))) }}
ingress.tls names the host {{ . }}, which is in neither ingress.hosts nor ingress.grpcHosts: add it there, or remove it.
{{- end }}
{{- end }}
{{- end }}
{{- if $gateway.enabled }}
{{- if not (concat ($gateway.hostnames | default list) ($gateway.grpcHostnames | default list)) }}
gateway.enabled needs gateway.hostnames, for a node answers to names that it knows alone: name one, such as raft.example.org.
{{- end }}
{{- if not $gateway.parentRefs }}
gateway.enabled needs gateway.parentRefs: name the Gateway that the routes belong to, such as [{name: public, namespace: gateways}].
{{- end }}
{{- if and $gateway.grpcHostnames (not .Values.service.grpcPort) }}
gateway.grpcHostnames needs service.grpcPort, by which a Gateway knows that HTTP/2 is spoken there: set it, such as to 2379.
{{- end }}
{{- if not (or $gateway.evenIfUnknown (.Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1")) }}
gateway.enabled asks for an HTTPRoute, and this cluster does not know gateway.networking.k8s.io/v1: install the Gateway API first, or set it to false; where no cluster is asked, as by `helm template`, give --api-versions gateway.networking.k8s.io/v1 or set gateway.evenIfUnknown.
{{- end }}
{{- end }}
{{- if and (eq (.Values.dnsPolicy | default "") "None") (not (dig "nameservers" list .Values.dnsConfig)) }}
dnsPolicy None needs dnsConfig.nameservers, or a pod resolves no name and finds no peer: name the cluster's, or remove dnsPolicy.
{{- end }}
{{- if and .Values.topologySpread.minZones (ne .Values.topologySpread.zones "DoNotSchedule") }}
topologySpread.minZones {{ .Values.topologySpread.minZones }} counts only with topologySpread.zones DoNotSchedule: set that, or remove it.
{{- end }}
{{- end -}}
