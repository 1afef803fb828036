"""etcd's v3 API in its JSON form: what clients of etcd 3.6 send to its gateway, on a NodeHandle."""
