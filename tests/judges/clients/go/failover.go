package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/client/v3/concurrency"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A lock is held, another one waits for it, an election is waited for, a watch runs; then the line "ready" is written
// and one is read: meanwhile somebody kills the leader. Nothing of all that may be lost.
func failover(c, other *clientv3.Client) {
	one, two := sessions(c, other, 30)
	mine, theirs := concurrency.NewMutex(one, "lock/"), concurrency.NewMutex(two, "lock/")
	check(mine.Lock(ctx) == nil, "a lock is free")
	chief, heir := concurrency.NewElection(one, "chief/"), concurrency.NewElection(two, "chief/")
	check(chief.Campaign(ctx, "a") == nil, "nobody else stands for election")
	locked, won := make(chan error, 1), make(chan error, 1)
	go func() { locked <- theirs.Lock(ctx) }()
	go func() { won <- heir.Campaign(ctx, "b") }()
	await(c, "lock/", 2)
	await(c, "chief/", 2)
	begin := must(c.Put(ctx, "w/begin", "x")).Header.Revision
	events := other.Watch(ctx, "w/", clientv3.WithPrefix(), clientv3.WithRev(begin))
	check(string((<-events).Events[0].Kv.Key) == "w/begin", "a watch runs")
	fmt.Println("ready")
	must(bufio.NewReader(os.Stdin).ReadString('\n'))

	acknowledged := writes(c)
	for last := begin; len(acknowledged) > 0; {
		answer := <-events
		check(answer.Err() == nil, "a watch goes on", answer.Err())
		for _, event := range answer.Events {
			check(event.Kv.ModRevision > last, "an event twice, or out of order", event)
			last = event.Kv.ModRevision
			if len(acknowledged) > 0 && acknowledged[0] <= last {
				check(acknowledged[0] == last, "an event is missing", acknowledged[0], event)
				acknowledged = acknowledged[1:]
			}
		}
	}
	shown("watch: goes on over the change of leaders, with every event once and in order")

	check(must(c.Txn(ctx).If(mine.IsOwner()).Commit()).Succeeded, "the lock is still held")
	check(len(locked) == 0 && len(won) == 0, "nobody else had it meanwhile")
	check(errors.Is(concurrency.NewMutex(must(concurrency.NewSession(other)), "lock/").TryLock(ctx), concurrency.ErrLocked), "it is locked")
	check(mine.Unlock(ctx) == nil && <-locked == nil, "who waited has the lock")
	shown("lock: held over the change of leaders, then handed to who waited")
	check(string(must(chief.Leader(ctx)).Kvs[0].Value) == "a", "the chief is still the chief")
	check(chief.Resign(ctx) == nil && <-won == nil && string(must(heir.Leader(ctx)).Kvs[0].Value) == "b", "the heir leads")
	shown("election: the chief outlives the change of leaders, then who waited is elected")
	select {
	case <-one.Done():
		check(false, "a session ended")
	case <-two.Done():
		check(false, "a session ended")
	default:
		shown("sessions: none ended")
	}
}

func await(c *clientv3.Client, prefix string, count int64) {
	for must(c.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())).Count < count {
		time.Sleep(10 * time.Millisecond)
	}
}

// Twenty writes; one that fails is done again, which is another event. Revisions of those that were acknowledged.
func writes(c *clientv3.Client) []int64 {
	var acknowledged []int64
	for ctx.Err() == nil && len(acknowledged) < 20 {
		answer, err := c.Put(ctx, fmt.Sprintf("w/%d", len(acknowledged)), "x")
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		acknowledged = append(acknowledged, answer.Header.Revision)
	}
	check(len(acknowledged) == 20, "somebody leads again")
	return acknowledged
}
