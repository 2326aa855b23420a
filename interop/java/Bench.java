// What interop/bench asks of a server: `heap`, `count`, and `observe PATH` with every Client.

import java.util.Iterator;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntSupplier;

public class Bench {
    interface Observes {
        int observe(String path) throws Exception;
    }

    /** Asks one Client, and runs one of the two when it has answered. */
    interface Asks<T> {
        void ask(T one, Runnable good, Runnable bad);
    }

    static void obey(IntSupplier count, Observes observes) throws Exception {
        Lines.obey(line -> {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "heap":
                    System.gc();
                    return String.valueOf(Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory());
                case "count":
                    return String.valueOf(count.getAsInt());
                default:
                    return String.valueOf(observes.observe(words[1]));
            }
        });
    }

    static int counted(Iterator<?> all) {
        int count = 0;
        for (; all.hasNext(); all.next()) {
            count++;
        }
        return count;
    }

    /** Asks all, 64 at a time, and gives how many answered well. */
    static <T> int askAll(Iterator<T> all, Asks<T> asks) throws InterruptedException {
        Semaphore underWay = new Semaphore(64);
        AtomicInteger good = new AtomicInteger();
        while (all.hasNext()) {
            underWay.acquire();
            asks.ask(all.next(), () -> {
                good.incrementAndGet();
                underWay.release();
            }, underWay::release);
        }
        underWay.acquire(64);
        return good.get();
    }
}
