"""Programs that nobody here wrote judge our nodes: `make test-judges`.

Why it exists: a client that we write asks what we thought of. Kubernetes' API server and the clients of etcd in other
languages ask what they need, in their own words, and expect of the answers what their authors learnt from etcd. They
are large, and some take minutes to get: none of them is a dependency of this project. Each is looked for in an
environment variable, then on PATH; a test whose judge is not there is skipped and says which one it missed.

    KUBE_APISERVER  kube-apiserver 1.36 or newer, beside KUBECTL, kubectl of the same version
    CLUSTER         a program that starts a whole Kubernetes which keeps its state where CLUSTER_STORE says: whole.py
                    lists what it must obey; PYTEST_OPTIONS=-s prints what docs/kubernetes-on-raft.md tells

    CERT_MANAGER    a clone of cert-manager with its controller built: tests/tls/cert_manager.py
    ETCDCTL, ETCD   etcd's command line of 3.6 (etcdctl), and etcd itself, on which the clients' programs pass first
    go, java, mvn, python3.11    on PATH: what builds and runs the programs of tests/judges/clients

Rule: a judge runs in a process of its own, and is asked only for its verdict; no judge is ever told to expect less.
"""
