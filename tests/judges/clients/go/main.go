// A judge: etcd's own Go client, and what is built on it (concurrency, recipes, leasing, namespace, ordering), unchanged.
// It asks the endpoints of its first argument, which must be empty, and ends with 1 at the first thing that is not as
// etcd does it. With a second argument it does what failover.go says. JUDGE_USER and JUDGE_PASSWORD: as whom it asks.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var ctx, _ = context.WithTimeout(context.Background(), 90*time.Second)

func check(ok bool, what string, seen ...any) {
	if !ok {
		fmt.Println("NOT AS ETCD DOES IT:", what, seen)
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	check(err == nil, "an error", err)
	return value
}

func shown(what string) { fmt.Println("shown:", what) }

func connect(endpoints string) *clientv3.Client {
	return must(clientv3.New(clientv3.Config{
		Endpoints: strings.Split(endpoints, ","), DialTimeout: 5 * time.Second,
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
		Username: os.Getenv("JUDGE_USER"), Password: os.Getenv("JUDGE_PASSWORD"),
	}))
}

func main() {
	client, other := connect(os.Args[1]), connect(os.Args[1])
	defer client.Close()
	if len(os.Args) > 2 {
		failover(client, other)
		return
	}
	keys(client)
	watches(client)
	leases(client)
	turns(client, other)
	recipes(client, other)
	wrapped(client, other)
}

func keys(c *clientv3.Client) {
	for _, name := range []string{"a", "b", "c"} {
		must(c.Put(ctx, "kv/"+name, "1"))
	}
	got := must(c.Get(ctx, "kv/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(2)))
	check(got.Count == 3 && got.More && len(got.Kvs) == 2 && string(got.Kvs[0].Key) == "kv/c", "a sorted and limited range", got)
	put := must(c.Put(ctx, "kv/a", "2", clientv3.WithPrevKV()))
	check(string(put.PrevKv.Value) == "1" && put.PrevKv.Version == 1, "the previous value of a put", put)
	old := must(c.Get(ctx, "kv/a", clientv3.WithRev(put.Header.Revision-1)))
	check(string(old.Kvs[0].Value) == "1", "a read of an earlier revision", old)
	check(len(must(c.Get(ctx, "kv/", clientv3.WithFromKey(), clientv3.WithKeysOnly(), clientv3.WithSerializable())).Kvs) == 3, "keys from a key on")
	deleted := must(c.Delete(ctx, "kv/c", clientv3.WithPrevKV()))
	check(deleted.Deleted == 1 && string(deleted.PrevKvs[0].Value) == "1", "a delete", deleted)
	shown("kv: put, get, range, sort, limit, earlier revision, delete")

	txn := must(c.Txn(ctx).If(clientv3.Compare(clientv3.Value("kv/a"), "=", "2"), clientv3.Compare(clientv3.CreateRevision("kv/c"), "=", 0)).
		Then(clientv3.OpPut("kv/c", "3"), clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.Version("kv/").WithPrefix(), ">", 1)},
			nil, []clientv3.Op{clientv3.OpGet("kv/c"), clientv3.OpDelete("kv/b")})).
		Else(clientv3.OpGet("kv/a")).Commit())
	inner := txn.Responses[1].GetResponseTxn()
	check(txn.Succeeded && !inner.Succeeded && string(inner.Responses[0].GetResponseRange().Kvs[0].Value) == "3", "a nested transaction", txn)
	_, err := c.Txn(ctx).Then(clientv3.OpPut("kv/x", "1"), clientv3.OpPut("kv/x", "2")).Commit()
	check(errors.Is(err, rpctypes.ErrDuplicateKey), "a key twice in a transaction", err)
	shown("txn: compares of value, create revision and a whole prefix, nested, duplicate key refused")

	must(c.Compact(ctx, txn.Header.Revision, clientv3.WithCompactPhysical()))
	_, err = c.Get(ctx, "kv/a", clientv3.WithRev(txn.Header.Revision-1))
	check(errors.Is(err, rpctypes.ErrCompacted), "a compacted revision", err)
	_, err = c.Get(ctx, "kv/a", clientv3.WithRev(1<<40))
	check(errors.Is(err, rpctypes.ErrFutureRev), "a future revision", err)
	_, err = c.Put(ctx, "", "x")
	check(errors.Is(err, rpctypes.ErrEmptyKey), "an empty key", err)
	shown("errors by their type: compacted, future revision, empty key")
}

func watches(c *clientv3.Client) {
	first := must(c.Put(ctx, "w/a", "1")).Header.Revision
	must(c.Put(ctx, "w/a", "2"))
	inner, cancel := context.WithCancel(ctx)
	events := c.Watch(inner, "w/", clientv3.WithPrefix(), clientv3.WithRev(first), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	check((<-events).Created, "a watch says that it is there")
	past := <-events
	check(len(past.Events) == 2 && past.Events[0].IsCreate() && string(past.Events[1].PrevKv.Value) == "1", "what was", past)
	must(c.Delete(ctx, "w/a"))
	gone := <-events
	check(gone.Events[0].Type == clientv3.EventTypeDelete && string(gone.Events[0].PrevKv.Value) == "2", "a delete", gone)
	check(c.RequestProgress(inner) == nil, "progress is asked for")
	progress := <-events
	check(progress.IsProgressNotify() && progress.Header.Revision == gone.Header.Revision, "progress", progress)
	cancel()
	_, open := <-events
	check(!open, "a watch that was cancelled ends")
	only := c.Watch(ctx, "w/b", clientv3.WithFilterPut(), clientv3.WithRev(gone.Header.Revision+1), clientv3.WithFragment())
	must(c.Put(ctx, "w/b", "1"))
	must(c.Delete(ctx, "w/b"))
	check((<-only).Events[0].Type == clientv3.EventTypeDelete, "a filtered watch")
	now := must(c.Get(ctx, "w/")).Header.Revision
	must(c.Compact(ctx, now))
	late := <-c.Watch(ctx, "w/", clientv3.WithRev(first))
	check(late.CompactRevision == now && errors.Is(late.Err(), rpctypes.ErrCompacted), "a watch of what was compacted", late)
	shown("watch: created, history, previous values, delete, filter, progress, cancel, compacted")
}

func leases(c *clientv3.Client) {
	lease := must(c.Grant(ctx, 60)).ID
	must(c.Put(ctx, "l/a", "x", clientv3.WithLease(lease)))
	alive := <-must(c.KeepAlive(ctx, lease))
	check(alive.TTL == 60 && must(c.KeepAliveOnce(ctx, lease)).TTL == 60, "a lease is kept alive", alive)
	left := must(c.TimeToLive(ctx, lease, clientv3.WithAttachedKeys()))
	check(left.GrantedTTL == 60 && left.TTL > 50 && len(left.Keys) == 1, "time to live", left)
	check(len(must(c.Leases(ctx)).Leases) == 1, "all leases")
	must(c.Revoke(ctx, lease))
	check(must(c.Get(ctx, "l/a")).Count == 0, "keys go with their lease")
	_, err := c.Put(ctx, "l/a", "x", clientv3.WithLease(lease))
	check(errors.Is(err, rpctypes.ErrLeaseNotFound), "a lease that is not there", err)
	short := must(c.Grant(ctx, 1)).ID
	put := must(c.Put(ctx, "l/b", "x", clientv3.WithLease(short)))
	gone := <-c.Watch(ctx, "l/b", clientv3.WithRev(put.Header.Revision+1))
	check(gone.Events[0].Type == clientv3.EventTypeDelete, "a lease ends by itself", gone)
	shown("lease: grant, keep alive, time to live, list, revoke, expiry")
}
