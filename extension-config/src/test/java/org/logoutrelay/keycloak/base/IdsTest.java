package org.logoutrelay.keycloak.base;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Set;
import java.util.UUID;
import org.junit.jupiter.api.Test;

class IdsTest {
    @Test
    void idsAreUuidsOfVersion7WithTheirTimeInFront() {
        long before = System.currentTimeMillis();
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < 1000; i++) {
            UUID id = UUID.fromString(Ids.next());
            assertEquals(7, id.version());
            assertEquals(2, id.variant());
            long at = id.getMostSignificantBits() >>> 16;
            assertTrue(at >= before && at <= System.currentTimeMillis());
            ids.add(id.toString());
        }
        assertEquals(1000, ids.size());
    }

    @Test
    void aLaterIdSortsBehindAnEarlierOne() throws InterruptedException {
        String earlier = Ids.next();
        long now = System.currentTimeMillis();
        while (System.currentTimeMillis() == now) {
            Thread.onSpinWait();
        }
        assertTrue(earlier.compareTo(Ids.next()) < 0);
    }
}
