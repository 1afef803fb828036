"""HTTP/2 (RFC 9113) as a server speaks it: frames, header blocks, streams and their windows. It knows no gRPC."""
