package org.logoutrelay.keycloak.settle;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** What a node does again and again, each on a thread of its own: one that waits for the database holds up no other. */
final class Beats {
    private final List<ScheduledExecutorService> threads = new ArrayList<>();

    /** @param task must not throw, which would end it */
    void start(String name, long everyMs, Runnable task) {
        ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(made -> AfterCommit.daemon(made, name));
        threads.add(thread);
        thread.scheduleWithFixedDelay(task, 0, everyMs, TimeUnit.MILLISECONDS);
    }

    void close() {
        threads.forEach(ScheduledExecutorService::shutdownNow);
    }
}
