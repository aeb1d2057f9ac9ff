package org.logoutrelay.keycloak.directory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class AheadTest {
    @Test
    void ofWholeSecondsTheOneThatHadJustBegunSaysMost() {
        Ahead ahead = new Ahead();
        // It is 300 ms ahead, and tells the beginning of its second.
        assertEquals(-600, ahead.measured(10_000, 10_600));
        assertEquals(290, ahead.measured(11_000, 10_710));
        assertEquals(290, ahead.measured(12_000, 12_500));
    }

    @Test
    void aClockThatIsSetIsMeasuredAnew() {
        Ahead ahead = new Ahead();
        ahead.measured(10_000, 10_100);
        assertEquals(-90_400, ahead.measured(-80_000, 10_400));
        assertEquals(89_900, ahead.measured(100_000, 10_100));
    }
}
