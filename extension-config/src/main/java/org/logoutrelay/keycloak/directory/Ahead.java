package org.logoutrelay.keycloak.directory;

import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;

/**
 * By how much a directory's clock is ahead of the database's. Directories tell whole seconds, so one question says it to the
 * second only; of several the one that came just after the second had begun says it best.
 */
final class Ahead {
    private static final int QUESTIONS = 20;
    private static final long SECOND_MS = 1000;

    private final Deque<Long> atLeast = new ArrayDeque<>();

    /**
     * @param theirsMs the beginning of the second that the directory says it has
     * @param oursMs when it did
     * @return milliseconds, never more than it is
     */
    synchronized long measured(long theirsMs, long oursMs) {
        long least = theirsMs - oursMs;
        if (!atLeast.isEmpty() && Math.abs(least - Collections.max(atLeast)) > SECOND_MS) {
            // Another server, or a clock that was set.
            atLeast.clear();
        }
        atLeast.addLast(least);
        if (atLeast.size() > QUESTIONS) {
            atLeast.removeFirst();
        }
        return Collections.max(atLeast);
    }
}
