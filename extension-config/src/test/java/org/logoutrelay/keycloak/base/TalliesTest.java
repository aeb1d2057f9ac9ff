package org.logoutrelay.keycloak.base;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;

class TalliesTest {
    private final Tallies<String, String, Integer> tallies = new Tallies<>(Integer::sum, key -> "others");
    private final Map<String, Map<String, Integer>> written = new HashMap<>();

    private static final class Stored implements Tallies.Rows<String, Integer> {
        private final Map<String, Integer> rows = new HashMap<>();

        @Override
        public int size() {
            return rows.size();
        }

        @Override
        public boolean add(String key, Integer counted) {
            return rows.computeIfPresent(key, (same, known) -> known + counted) != null;
        }

        @Override
        public void make(String key, Integer counted) {
            rows.put(key, counted);
        }
    }

    @Test
    void whoeverHasNoRoomIsCountedAsOneAndTakesNoneFromAnotherRoom() {
        IntStream.range(0, 250).forEach(n -> tallies.count("loud", "caller-" + n, 1));
        IntStream.range(0, 3).forEach(n -> tallies.count("loud", "caller-0", 1));
        tallies.count("quiet", "caller", 1);
        tallies.write(written::put);
        assertEquals(101, written.get("loud").size());
        assertEquals(150, written.get("loud").get("others"));
        assertEquals(4, written.get("loud").get("caller-0"));
        assertEquals(Map.of("caller", 1), written.get("quiet"));
    }

    @Test
    void whatIsWrittenIsWrittenOnceAndWhatFailsIsNotLost() {
        tallies.count("room", "caller", 2);
        assertThrows(IllegalStateException.class, () -> tallies.write((room, some) -> {
            tallies.count("room", "caller", 3);
            throw new IllegalStateException("The database is away");
        }));
        tallies.write(written::put);
        assertEquals(Map.of("room", Map.of("caller", 5)), written);
        written.clear();
        tallies.write(written::put);
        assertEquals(Map.of(), written);
    }

    @Test
    void aRoomThatCanNeverBeStoredKeepsBackNoOther() {
        // Two that lie beside each other in the map, which come again as soon as they have failed.
        assertEquals("Aa".hashCode(), "BB".hashCode());
        for (String room : List.of("Aa", "BB", "room-1", "room-2", "room-3")) {
            tallies.count(room, "caller", 1);
        }
        List<String> failed = new ArrayList<>();
        assertEquals("Never", assertThrows(IllegalStateException.class, () -> tallies.write((room, some) -> {
            if (room.startsWith("room")) {
                written.put(room, some);
            } else if (failed.size() > 2) {
                throw new AssertionError("It comes again and again");
            } else {
                failed.add(room);
                throw new IllegalStateException("Never");
            }
        })).getMessage());
        assertEquals(Set.of("room-1", "room-2", "room-3"), written.keySet());
        assertEquals(Set.of("Aa", "BB"), Set.copyOf(failed));
        tallies.write(written::put);
        assertEquals(Map.of("caller", 1), written.get("Aa"));
    }

    @Test
    void whatIsStoredGrowsToAsManyAndOneForTheOthers() {
        Stored stored = new Stored();
        for (int batch = 0; batch < 5; batch++) {
            for (int n = 0; n < 40; n++) {
                tallies.store(Map.of("caller-" + batch + "-" + n, 1), stored);
            }
            tallies.store(Map.of("caller-0-0", 1), stored);
        }
        assertEquals(101, stored.rows.size());
        assertEquals(100, stored.rows.get("others"));
        assertEquals(6, stored.rows.get("caller-0-0"));
    }

    @Test
    void aTextIsCutToWhatThereIsRoomForAndNeverWithinACharacter() {
        String emoji = "\uD83D\uDE00";
        assertEquals("", Tallies.text(null));
        assertEquals("a?b", Tallies.text("a\0b"));
        assertEquals(255, Tallies.text("a".repeat(10_000)).length());
        assertEquals("a".repeat(254), Tallies.text("a".repeat(254) + emoji));
        assertEquals("a".repeat(253) + emoji, Tallies.text("a".repeat(253) + emoji + "a"));
    }
}
