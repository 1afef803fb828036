package main

import (
	"context"
	"errors"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

func sessions(c, other *clientv3.Client, ttl int) (*concurrency.Session, *concurrency.Session) {
	return must(concurrency.NewSession(c, concurrency.WithTTL(ttl))), must(concurrency.NewSession(other, concurrency.WithTTL(ttl)))
}

// Locks and elections, made by the client out of leases, transactions and watches.
func turns(c, other *clientv3.Client) {
	one, two := sessions(c, other, 30)
	mine, theirs := concurrency.NewMutex(one, "lock/"), concurrency.NewMutex(two, "lock/")
	check(mine.Lock(ctx) == nil, "a lock is free")
	check(errors.Is(theirs.TryLock(ctx), concurrency.ErrLocked), "a lock is held")
	locked := make(chan error)
	go func() { locked <- theirs.Lock(ctx) }()
	check(must(c.Txn(ctx).If(mine.IsOwner()).Commit()).Succeeded, "who holds it owns it")
	check(mine.Unlock(ctx) == nil && <-locked == nil, "the next one has it")
	check(theirs.Unlock(ctx) == nil, "it is given back")
	shown("concurrency.Mutex: lock, try, wait, owner, unlock")

	chief, heir := concurrency.NewElection(one, "chief/"), concurrency.NewElection(two, "chief/")
	watching, cancel := context.WithCancel(ctx)
	check(chief.Campaign(ctx, "a") == nil, "nobody else stands for election")
	seen := concurrency.NewElection(two, "chief/").Observe(watching)
	check(string((<-seen).Kvs[0].Value) == "a", "who leads is observed")
	won := make(chan error)
	go func() { won <- heir.Campaign(ctx, "b") }()
	check(chief.Proclaim(ctx, "aa") == nil && string((<-seen).Kvs[0].Value) == "aa", "a proclamation is observed")
	check(one.Close() == nil && <-won == nil, "the heir leads when the session of the chief ends")
	check(string((<-seen).Kvs[0].Value) == "b" && string(must(heir.Leader(ctx)).Kvs[0].Value) == "b", "the heir is observed")
	check(heir.Resign(ctx) == nil, "who leads resigns")
	_, err := heir.Leader(ctx)
	check(errors.Is(err, concurrency.ErrElectionNoLeader), "nobody leads", err)
	cancel()
	shown("concurrency.Election: campaign, observe, proclaim, end of a session, resign")

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			must(concurrency.NewSTM(c, func(s concurrency.STM) error {
				s.Put("stm", s.Get("stm")+"x")
				return nil
			}, concurrency.WithAbortContext(ctx)))
		})
	}
	all.Wait()
	check(string(must(c.Get(ctx, "stm")).Kvs[0].Value) == "xxxxxxxx", "no transaction is lost")
	check(two.Close() == nil, "a session ends")
	shown("concurrency.STM: eight writers of one key")
}

func recipes(c, other *clientv3.Client) {
	queue := recipe.NewQueue(c, "queue")
	taken := make(chan string)
	go func() { taken <- must(recipe.NewQueue(other, "queue").Dequeue()) }()
	check(queue.Enqueue("job") == nil && <-taken == "job", "a queue")
	barrier := recipe.NewBarrier(c, "barrier")
	check(barrier.Hold() == nil, "a barrier is held")
	past := make(chan error)
	go func() { past <- recipe.NewBarrier(other, "barrier").Wait() }()
	check(barrier.Release() == nil && <-past == nil, "a barrier is released")
	one, two := sessions(c, other, 30)
	reads, writes := recipe.NewRWMutex(one, "rw"), recipe.NewRWMutex(two, "rw")
	check(reads.RLock() == nil, "a lock for reading")
	go func() { past <- writes.Lock() }()
	check(reads.RUnlock() == nil && <-past == nil && writes.Unlock() == nil, "a lock for writing")
	go func() { past <- recipe.NewDoubleBarrier(one, "double", 2).Enter() }()
	check(recipe.NewDoubleBarrier(two, "double", 2).Enter() == nil && <-past == nil, "a double barrier")
	check(one.Close() == nil && two.Close() == nil, "sessions end")
	shown("recipes: queue, barrier, readers and writers, double barrier")
}

// What stands in front of the client: a cache that is told to let go, prefixes, and reads that never go back.
func wrapped(c, other *clientv3.Client) {
	cached, end, err := leasing.NewKV(c, "leasing/")
	check(err == nil, "leasing", err)
	must(cached.Put(ctx, "cached", "1"))
	check(string(must(cached.Get(ctx, "cached")).Kvs[0].Value) == "1" && string(must(cached.Get(ctx, "cached")).Kvs[0].Value) == "1", "it is cached")
	second, endSecond, err := leasing.NewKV(other, "leasing/")
	check(err == nil, "leasing", err)
	must(second.Put(ctx, "cached", "2"))
	check(string(must(cached.Get(ctx, "cached")).Kvs[0].Value) == "2", "who caches is told")
	check(must(cached.Txn(ctx).If(clientv3util.KeyExists("cached")).Then(clientv3.OpDelete("cached")).Commit()).Succeeded, "a transaction of who caches")
	end()
	endSecond()
	shown("leasing: a cached read, invalidated by another writer")

	kv, watcher, lessor := namespace.NewKV(c, "room/"), namespace.NewWatcher(c, "room/"), namespace.NewLease(c, "room/")
	lease := must(lessor.Grant(ctx, 60)).ID
	put := must(kv.Put(ctx, "door", "open", clientv3.WithLease(lease)))
	event := <-watcher.Watch(ctx, "door", clientv3.WithRev(put.Header.Revision))
	check(string(event.Events[0].Kv.Key) == "door" && must(c.Get(ctx, "room/door")).Count == 1, "a room of its own", event)
	check(string(must(lessor.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())).Keys[0]) == "door", "keys of a lease in a room")
	must(lessor.Revoke(ctx, lease))
	shown("namespace: kv, watch and lease under a prefix")

	ordered := ordering.NewKV(c, ordering.NewOrderViolationSwitchEndpointClosure(c))
	must(ordered.Put(ctx, "o", "1"))
	for range 20 {
		check(must(ordered.Get(ctx, "o", clientv3.WithSerializable())).Count == 1, "reads that never go back")
	}
	shown("ordering: serializable reads that never go back")
}
