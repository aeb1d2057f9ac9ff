package org.logoutrelay.keycloak.gate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.logoutrelay.keycloak.base.DbClock;

class NodesTest {
    private static final long WATERMARK = DbClock.endOfSecond(1_795_000_000_000L);

    private static long notBefore(long aheadMs) {
        return Math.floorDiv(WATERMARK + Nodes.slowest(aheadMs), 1000L) + 1;
    }

    @Test
    void whatANodeThatIsWholeSecondsBehindIssuesRightAfterAnEventCounts() {
        long firstSecondOfTheNode = Math.floorDiv(WATERMARK + 1 - 20_000, 1000L);
        for (long measured : new long[] {-20_040, -20_001, -20_000, -19_999, -19_960}) {
            assertEquals(firstSecondOfTheNode, notBefore(measured), "measured as " + measured);
        }
    }

    @Test
    void clocksThatAgreeSpareNothingOfTheEventsSecond() {
        long nextSecond = (WATERMARK + 1) / 1000;
        for (long measured : new long[] {-300, -5, 0, 5, 40_000}) {
            assertEquals(nextSecond, notBefore(measured), "measured as " + measured);
        }
    }
}
