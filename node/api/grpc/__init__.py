"""gRPC: the second door to etcd's calls, over HTTP/2. It decides nothing that `node.api.etcd` decides."""
