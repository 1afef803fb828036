// What of Argo CD the tests run, in one program: its controller, its repo-server, and the Redis that both keep things in
// (one in memory, which Argo CD's own tests use). `make argo-cd` builds it inside of a copy of Argo CD's module; without
// its server, its command line and notifications, which nobody here asks, that takes a third less.
package main

import (
	"log"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
)

func main() {
	part := os.Args[1]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	var err error
	switch part {
	case "controller":
		err = controller.NewCommand().Execute()
	case "repo-server":
		err = reposerver.NewCommand().Execute()
	case "redis":
		err = redis(os.Args[1])
	default:
		log.Fatalf("no part of Argo CD: %s", part)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// redis serves until it is ended, and forgets what is over: its clock is moved by hand.
func redis(address string) error {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(address); err != nil {
		return err
	}
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
	return nil
}
