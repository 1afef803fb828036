import static java.nio.charset.StandardCharsets.UTF_8;

import io.etcd.jetcd.*;
import io.etcd.jetcd.common.exception.*;
import io.etcd.jetcd.op.*;
import io.etcd.jetcd.options.*;
import io.etcd.jetcd.watch.*;
import io.etcd.jetcd.support.Observers;
import java.net.URI;
import java.util.*;
import java.util.concurrent.*;

/**
 * A judge: jetcd, unchanged. It asks the endpoints of its first argument, which must be empty, and ends with 1 at the
 * first thing that is not as etcd does it. With a second argument it does what Failover says.
 */
public class Judge {
  static final int SECONDS_MAX = 60;

  static void check(boolean holds, String what, Object... seen) {
    if (!holds) {
      System.out.println("NOT AS ETCD DOES IT: " + what + " " + Arrays.toString(seen));
      System.exit(1);
    }
  }

  static void shown(String what) {
    System.out.println("shown: " + what);
  }

  static ByteSequence of(String text) {
    return ByteSequence.from(text, UTF_8);
  }

  static <T> T got(CompletableFuture<T> answer) throws Exception {
    return answer.get(SECONDS_MAX, TimeUnit.SECONDS);
  }

  static Client connect(String endpoints) {
    return Client.builder().endpoints(Arrays.stream(endpoints.split(",")).map(at -> URI.create("http://" + at)).toList())
        .build();
  }

  /** What a watch says, one event after the other; an error is one, too. */
  static BlockingQueue<Object> watch(Client client, String key, WatchOption option) {
    BlockingQueue<Object> told = new LinkedBlockingQueue<>();
    client.getWatchClient().watch(of(key), option, Watch.listener(answer -> {
      told.addAll(answer.getEvents());
      if (answer.isProgressNotify()) told.add("progress");
    }, told::add));
    return told;
  }

  /** jetcd says that a connection was lost, and goes on by itself. */
  static WatchEvent event(BlockingQueue<Object> told) throws Exception {
    Object next = told.poll(SECONDS_MAX, TimeUnit.SECONDS);
    if (next instanceof EtcdException lost && lost.getErrorCode() == ErrorCode.UNAVAILABLE) return event(told);
    check(next instanceof WatchEvent, "an event", next);
    return (WatchEvent) next;
  }

  static long lease(Client client) throws Exception {
    return got(client.getLeaseClient().grant(60)).getID();
  }

  public static void main(String[] given) throws Exception {
    try (Client client = connect(given[0]); Client other = connect(given[0])) {
      if (given.length > 1) {
        Failover.of(client, other);
      } else {
        keys(client.getKVClient());
        watches(client);
        leases(client);
        Turns.taken(client, other);
        check(got(client.getClusterClient().listMember()).getMembers().size() == 1, "members");
        var status = got(client.getMaintenanceClient().statusMember("http://" + given[0]));
        check(status.getVersion().startsWith("3.6."), "a version", status);
        shown("cluster and maintenance: members, status");
      }
      System.exit(0);
    } catch (Exception failed) {
      check(false, "an error", failed);
    }
  }

  static void keys(KV kv) throws Exception {
    for (String name : List.of("a", "b", "c")) got(kv.put(of("kv/" + name), of("1")));
    var put = got(kv.put(of("kv/a"), of("2"), PutOption.builder().withPrevKV().build()));
    check(put.getPrevKv().getValue().equals(of("1")), "the previous value", put);
    var found = got(kv.get(of("kv/"), GetOption.builder().isPrefix(true).withLimit(2)
        .withSortField(GetOption.SortTarget.KEY).withSortOrder(GetOption.SortOrder.DESCEND).build()));
    check(found.getCount() == 3 && found.isMore() && found.getKvs().get(0).getKey().equals(of("kv/c")), "a range", found);
    long before = put.getHeader().getRevision() - 1;
    var old = got(kv.get(of("kv/a"), GetOption.builder().withRevision(before).build()));
    check(old.getKvs().get(0).getValue().equals(of("1")), "an earlier revision", old);
    var gone = got(kv.delete(of("kv/c"), DeleteOption.builder().withPrevKV(true).build()));
    check(gone.getDeleted() == 1 && gone.getPrevKvs().get(0).getValue().equals(of("1")), "a delete", gone);
    shown("kv: put, range, sort, limit, earlier revision, delete");

    var done = got(kv.txn().If(new Cmp(of("kv/a"), Cmp.Op.EQUAL, CmpTarget.value(of("2"))),
            new Cmp(of("kv/c"), Cmp.Op.EQUAL, CmpTarget.version(0)))
        .Then(Op.put(of("kv/c"), of("3"), PutOption.DEFAULT), Op.get(of("kv/c"), GetOption.DEFAULT))
        .Else(Op.get(of("kv/a"), GetOption.DEFAULT)).commit());
    check(done.isSucceeded() && done.getGetResponses().get(0).getKvs().get(0).getValue().equals(of("3")), "a txn", done);
    got(kv.compact(done.getHeader().getRevision()));
    try {
      got(kv.get(of("kv/a"), GetOption.builder().withRevision(before).build()));
      check(false, "a compacted revision is refused");
    } catch (ExecutionException refused) {
      check(refused.getMessage().contains("required revision has been compacted"), "a compacted revision", refused);
    }
    shown("txn: compare and set; compaction");
  }

  static void watches(Client client) throws Exception {
    KV kv = client.getKVClient();
    long first = got(kv.put(of("w/a"), of("1"))).getHeader().getRevision();
    var told = watch(client, "w/", WatchOption.builder().isPrefix(true).withRevision(first).withPrevKV(true).build());
    check(event(told).getKeyValue().getValue().equals(of("1")), "what was");
    got(kv.put(of("w/a"), of("2")));
    check(event(told).getPrevKV().getValue().equals(of("1")), "what comes, and what was before");
    got(kv.delete(of("w/a")));
    check(event(told).getEventType() == WatchEvent.EventType.DELETE, "a delete");
    client.getWatchClient().requestProgress();
    check("progress".equals(told.poll(SECONDS_MAX, TimeUnit.SECONDS)), "progress");
    long now = got(kv.put(of("w/b"), of("1"))).getHeader().getRevision();
    got(kv.compact(now));
    var late = watch(client, "w/", WatchOption.builder().isPrefix(true).withRevision(first).build());
    Object refused = late.poll(SECONDS_MAX, TimeUnit.SECONDS);
    check(refused instanceof CompactedException that && that.getCompactedRevision() == now, "compacted", refused);
    var again = watch(client, "w/b", WatchOption.builder().withRevision(now).build());
    check(event(again).getKeyValue().getModRevision() == now, "a watch from where it may begin");
    shown("watch: history, previous values, delete, progress, compacted, from a revision on");
  }

  static void leases(Client client) throws Exception {
    Lease leases = client.getLeaseClient();
    long lease = lease(client);
    got(client.getKVClient().put(of("l"), of("x"), PutOption.builder().withLeaseId(lease).build()));
    var alive = new LinkedBlockingQueue<Long>();
    var kept = leases.keepAlive(lease, Observers.observer(answer -> alive.add(answer.getTTL())));
    check(Long.valueOf(60).equals(alive.poll(SECONDS_MAX, TimeUnit.SECONDS)), "kept alive", alive);
    kept.close();
    check(got(leases.keepAliveOnce(lease)).getTTL() == 60, "kept alive once");
    var left = got(leases.timeToLive(lease, LeaseOption.builder().withAttachedKeys().build()));
    check(left.getGrantedTTL() == 60 && left.getTTL() > 50 && left.getKeys().size() == 1, "time to live", left);
    got(leases.revoke(lease));
    check(got(client.getKVClient().get(of("l"))).getCount() == 0, "keys go with their lease");
    shown("lease: grant, keep alive, time to live, revoke");
  }
}
