package org.logoutrelay.keycloak.rest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;

import org.junit.jupiter.api.Test;

/** What is refused is only seen to be refused: there is no REST server here to make the answer. */
class GivenTest {
    private static final List<String> GAP = Arrays.asList("a", null);
    private static final List<String> LONG = List.of("a", "b", "c");

    @Test
    void aListThatMustHoldSomethingIsTakenAsItIsOrNotAtAll() {
        assertEquals(List.of("a", "b"), Given.some("ids", List.of("a", "b"), 2, "session ids"));
        for (List<String> bad : Arrays.asList(null, List.<String>of(), LONG, GAP)) {
            assertThrows(RuntimeException.class, () -> Given.some("ids", bad, 2, "session ids"));
        }
    }

    @Test
    void aListThatMayBeLeftOutHoldsNoMoreThanItMayAndNoGap() {
        assertEquals(List.of(), List.copyOf(Given.atMost("ack", null, 2, "jtis")));
        assertEquals(List.of(), List.copyOf(Given.atMost("setErrs", Map.of().values(), 2, "jtis")));
        for (Collection<String> bad : List.of(LONG, GAP)) {
            assertThrows(RuntimeException.class, () -> Given.atMost("ack", bad, 2, "jtis"));
        }
    }

    @Test
    void aReasonSaysWhyInAFewWords() {
        assertEquals("why", Given.reason(" why ", "it is kept"));
        for (String bad : Arrays.asList(null, " no ", "x".repeat(501), "wh\0y")) {
            assertThrows(RuntimeException.class, () -> Given.reason(bad, "it is kept"));
        }
    }

    @Test
    void aTextIsTrimmedAndMustSaySomething() {
        assertEquals("bob", Given.text(" bob ", "user is missing"));
        assertThrows(RuntimeException.class, () -> Given.text(" ", "user is missing"));
        assertThrows(RuntimeException.class, () -> Given.text(null, "user is missing"));
        assertThrows(RuntimeException.class, () -> Given.body(null));
    }
}
