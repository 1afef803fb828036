import io.etcd.jetcd.Client;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.election.LeaderKey;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.election.NoLeaderException;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchEvent;
import java.util.*;
import java.util.concurrent.*;

/** Locks and elections, which jetcd leaves to the server's own services. */
class Turns extends Judge {
  static void taken(Client client, Client other) throws Exception {
    long one = lease(client), two = lease(other);
    var mine = got(client.getLockClient().lock(of("lock"), one)).getKey();
    var theirs = other.getLockClient().lock(of("lock"), two);
    check(mine.toString().equals("lock/" + Long.toHexString(one)) && !theirs.isDone(), "a lock is held", mine, theirs);
    got(client.getLockClient().unlock(mine));
    got(other.getLockClient().unlock(got(theirs).getKey()));
    shown("Lock: lock, wait, unlock");

    Election first = client.getElectionClient(), second = other.getElectionClient();
    LeaderKey chief = got(first.campaign(of("chief"), one, of("a"))).getLeader();
    BlockingQueue<String> seen = new LinkedBlockingQueue<>();
    second.observe(of("chief"), new Election.Listener() {
      public void onNext(LeaderResponse answer) {
        seen.add(answer.getKv().getValue().toString());
      }

      public void onError(Throwable error) {
        seen.add("an error " + error);
      }

      public void onCompleted() {}
    });
    var heir = second.campaign(of("chief"), two, of("b"));
    check("a".equals(seen.poll(SECONDS_MAX, TimeUnit.SECONDS)), "who leads is observed");
    got(first.proclaim(chief, of("aa")));
    check("aa".equals(seen.poll(SECONDS_MAX, TimeUnit.SECONDS)) && !heir.isDone(), "a proclamation is observed");
    got(first.resign(chief));
    LeaderKey next = got(heir).getLeader();
    check("b".equals(seen.poll(SECONDS_MAX, TimeUnit.SECONDS)), "the heir is observed");
    check(got(first.leader(of("chief"))).getKv().getLease() == two, "the heir leads");
    got(second.resign(next));
    try {
      got(first.leader(of("chief")));
      check(false, "nobody leads");
    } catch (ExecutionException refused) {
      check(refused.getCause() instanceof NoLeaderException, "nobody leads", refused);
    }
    shown("Election: campaign, observe, proclaim, resign");
  }
}

/**
 * A lock is held, another one waits for it, an election is waited for, a watch runs; then the line "ready" is written
 * and one is read: meanwhile somebody kills the leader. Who waits at a node that dies is told so, and asks again.
 */
class Failover extends Judge {
  static final int WRITES = 20;

  static void of(Client client, Client other) throws Exception {
    long one = lease(client), two = lease(other);
    for (var each : List.of(Map.entry(client, one), Map.entry(other, two)))
      each.getKey().getLeaseClient().keepAlive(each.getValue(), io.etcd.jetcd.support.Observers.observer(answer -> {}));
    var mine = got(client.getLockClient().lock(of("lock"), one)).getKey();
    LeaderKey chief = got(client.getElectionClient().campaign(of("chief"), one, of("a"))).getLeader();
    long begin = got(client.getKVClient().put(of("w/begin"), of("x"))).getHeader().getRevision();
    var told = watch(other, "w/", from(begin));
    var waiters = List.of(watch(client, "lock/", from(begin)), watch(client, "chief/", from(begin)));
    check(event(told).getKeyValue().getModRevision() == begin, "a watch runs");
    var locked = again(() -> other.getLockClient().lock(of("lock"), two));
    var won = again(() -> other.getElectionClient().campaign(of("chief"), two, of("b")));
    for (var waiter : waiters) event(waiter);
    System.out.println("ready");
    System.in.read();

    var acknowledged = new ArrayDeque<Long>();
    while (acknowledged.size() < WRITES) acknowledged.add(written(client));
    for (long last = begin; !acknowledged.isEmpty(); ) {
      WatchEvent event = event(told);
      check(event.getKeyValue().getModRevision() > last, "an event twice, or out of order", event);
      last = event.getKeyValue().getModRevision();
      if (acknowledged.peek() <= last) check(acknowledged.remove() == last, "an event is missing", event);
    }
    shown("watch: goes on over the change of leaders, with every event once and in order");
    check(!locked.isDone() && got(client.getKVClient().get(mine)).getCount() == 1, "the lock is still held", locked);
    got(client.getLockClient().unlock(mine));
    check(got(locked).getKey().toString().equals("lock/" + Long.toHexString(two)), "who waited has the lock");
    shown("Lock: held over the change of leaders, then handed to who waited");
    check(!won.isDone() && got(other.getElectionClient().leader(of("chief"))).getKv().getLease() == one, "the chief");
    got(client.getElectionClient().resign(chief));
    check(got(won).getLeader().getLease() == two, "the heir leads");
    shown("Election: the chief outlives the change of leaders, then who waited is elected");
    for (long lease : List.of(one, two))
      check(got(client.getLeaseClient().keepAliveOnce(lease)).getTTL() == 60, "a lease lives");
    shown("lease: none ended");
  }

  static <T> CompletableFuture<T> again(Callable<CompletableFuture<T>> asked) {
    return CompletableFuture.supplyAsync(() -> {
      for (long end = System.nanoTime() + SECONDS_MAX * 1_000_000_000L; ; ) {
        try {
          return got(asked.call());
        } catch (Exception failed) {
          check(System.nanoTime() < end, "no answer", failed);
        }
      }
    });
  }

  static WatchOption from(long revision) {
    return WatchOption.builder().isPrefix(true).withRevision(revision).build();
  }

  static long written(Client client) throws Exception {
    return got(again(() -> client.getKVClient().put(of("w/more"), of("x")))).getHeader().getRevision();
  }
}
