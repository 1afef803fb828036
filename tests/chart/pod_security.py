"""The *restricted* Pod Security Standard, as rules on a pod's spec: what the admission of a real cluster checks.

Source: kubernetes.io, Pod Security Standards (restricted, which contains baseline). It must not be lenient: what a rule
does not know is a violation.
"""

from typing import Any

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
CAPABILITIES = {"NET_BIND_SERVICE"}
SECCOMP = {"RuntimeDefault", "Localhost"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
}


def violations(pod: dict[str, Any]) -> list[str]:
    """One line for each rule that the pod spec breaks; empty: it is admitted under *restricted*."""
    found = [f"{key} is true" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", ()):
        found += [f"volume {volume['name']} is a {kind}" for kind in set(volume) - {"name"} - VOLUMES]
    context = pod.get("securityContext", {})
    found += [f"sysctl {item['name']}" for item in context.get("sysctls", ()) if item["name"] not in SYSCTLS]
    if context.get("windowsOptions", {}).get("hostProcess"):
        found.append("hostProcess is true")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind, ()):
            found += [f"{kind} {container['name']}: {what}" for what in _of_container(container, context)]
    return found


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> list[str]:
    own = container.get("securityContext", {})
    effective = {**pod, **own}
    found = []
    if own.get("privileged"):
        found.append("privileged")
    if own.get("allowPrivilegeEscalation") is not False:
        found.append("allowPrivilegeEscalation is not false")
    if effective.get("runAsNonRoot") is not True:
        found.append("runAsNonRoot is not true")
    if effective.get("runAsUser") == 0:
        found.append("runAsUser is 0")
    if effective.get("seccompProfile", {}).get("type") not in SECCOMP:
        found.append("seccompProfile is neither RuntimeDefault nor Localhost")
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        found.append("capabilities.drop lacks ALL")
    if set(capabilities.get("add", ())) - CAPABILITIES:
        found.append(f"capabilities.add {capabilities['add']}")
    if own.get("procMount", "Default") != "Default":
        found.append("procMount")
    if effective.get("seLinuxOptions", {}).keys() & {"user", "role"}:
        found.append("seLinuxOptions")
    if effective.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in SECCOMP:
        found.append("appArmorProfile")
    found += ["hostPort" for port in container.get("ports", ()) if port.get("hostPort")]
    return found
