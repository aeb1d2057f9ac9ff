package org.logoutrelay.keycloak.base;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class DbClockTest {
    private static final long NOW = 1_795_000_000_123L;
    private static final long HOUR = 3_600_000;

    @Test
    void theWholeSecondOfAnEventIsOld() {
        assertEquals(1_000_999, DbClock.endOfSecond(1_000_000));
        assertEquals(1_000_999, DbClock.endOfSecond(1_000_999));
        assertEquals(1_001_999, DbClock.endOfSecond(1_001_000));
    }

    @Test
    void aTimeZoneThatTheDriverGetsWrongDoesNotMoveTheClock() {
        assertEquals(NOW + 40, DbClock.correct(NOW + 40 + 2 * HOUR, NOW));
        assertEquals(NOW - 40, DbClock.correct(NOW - 40 - 5 * HOUR - HOUR / 2, NOW));
    }

    @Test
    void aNodeWhoseClockIsMinutesOffStillGoesByTheDatabase() {
        assertEquals(NOW + 60_000, DbClock.correct(NOW + 60_000, NOW));
        assertEquals(NOW - 7 * 60_000, DbClock.correct(NOW - 7 * 60_000, NOW));
    }
}
