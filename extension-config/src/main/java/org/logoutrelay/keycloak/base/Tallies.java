package org.logoutrelay.keycloak.base;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BiConsumer;
import java.util.function.BinaryOperator;
import java.util.function.UnaryOperator;

/**
 * Who has come, and how often: counted in memory on the request, written off it. Whoever can make more callers than there is
 * room for is counted as one. A node that is killed loses what it has not written.
 *
 * @param <R> what has room of its own, and is written together
 * @param <K> who has come
 * @param <T> what is counted of them
 */
public final class Tallies<R, K, T> {
    private static final int MOST = 100;
    private static final int MAX_TEXT = 255;

    private final Map<R, Map<K, T>> rooms = new ConcurrentHashMap<>();
    private final BinaryOperator<T> sum;
    private final UnaryOperator<K> amongOthers;

    /** The rows of one room, locked against other nodes. */
    public interface Rows<K, T> {
        int size();

        /** False where there is none of theirs. */
        boolean add(K key, T counted);

        void make(K key, T counted);

        /** Adds whoever has not come for longest to the others, and gives up their row. False where whoever came first stays. */
        default boolean giveUpOldest(K others) {
            return false;
        }
    }

    public Tallies(BinaryOperator<T> sum, UnaryOperator<K> amongOthers) {
        this.sum = sum;
        this.amongOthers = amongOthers;
    }

    public void count(R room, K key, T one) {
        rooms.compute(room, (same, known) -> {
            Map<K, T> all = known == null ? new HashMap<>() : known;
            all.merge(all.size() < MOST || all.containsKey(key) ? key : amongOthers.apply(key), one, sum);
            return all;
        });
    }

    /**
     * Takes out all that was counted, room by room. What the writer fails at is counted again, and written with the next; it
     * keeps back no other room. Throws the first failure at the end.
     */
    public void write(BiConsumer<R, Map<K, T>> writer) {
        RuntimeException failure = null;
        // A copy, since a room that comes back could come again and again.
        for (R room : List.copyOf(rooms.keySet())) {
            Map<K, T> some = rooms.remove(room);
            if (some == null) {
                continue;
            }
            try {
                writer.accept(room, some);
            } catch (RuntimeException e) {
                some.forEach((key, counted) -> count(room, key, counted));
                failure = failure == null ? e : failure;
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    /** Adds to what is stored of a room: first to whom there is a row of, so that none of them is given up for a newcomer. */
    public void store(Map<K, T> some, Rows<K, T> rows) {
        Map<K, T> newcomers = new HashMap<>(some);
        newcomers.entrySet().removeIf(one -> rows.add(one.getKey(), one.getValue()));
        newcomers.forEach((key, counted) -> {
            K others = amongOthers.apply(key);
            K kept = key.equals(others) || rows.size() < MOST || rows.giveUpOldest(others) ? key : others;
            if (kept.equals(key) || !rows.add(kept, counted)) {
                rows.make(kept, counted);
            }
        });
    }

    /**
     * As it fits into a column: what a request says may be of any length, PostgreSQL stores no zero, and not every database takes
     * half a character at the end.
     */
    public static String text(String said) {
        if (said == null) {
            return "";
        }
        int end = Math.min(MAX_TEXT, said.length());
        boolean halves = end < said.length() && Character.isHighSurrogate(said.charAt(end - 1));
        return said.substring(0, halves ? end - 1 : end).replace('\0', '?');
    }
}
