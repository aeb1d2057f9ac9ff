package org.logoutrelay.keycloak.rest;

import java.util.Collection;
import java.util.List;
import java.util.Objects;

/** What a request must give. Each of these answers with 400 and a sentence that names what is wrong. */
final class Given {
    private static final int MAX_REASON = 500;

    private Given() {
    }

    static <T> T body(T body) {
        if (body == null) {
            throw Problem.badRequest("The body is missing; send at least {}");
        }
        return body;
    }

    /** Trimmed. */
    static String text(String text, String complaint) {
        if (text == null || text.isBlank()) {
            throw Problem.badRequest(complaint);
        }
        return text.trim();
    }

    /** Why somebody does it, trimmed. */
    static String reason(String text, String whereTo) {
        String reason = text == null ? "" : text.trim();
        if (reason.length() < 3 || reason.length() > MAX_REASON || reason.indexOf(0) >= 0) {
            throw Problem.badRequest("reason must say why, in 3 to " + MAX_REASON + " characters; " + whereTo);
        }
        return reason;
    }

    /** @param what the elements, in the plural */
    static <T> List<T> some(String name, List<T> given, int max, String what) {
        if (given == null || given.isEmpty() || given.size() > max || hasGap(given)) {
            throw Problem.badRequest(name + " must hold 1 to " + max + " " + what);
        }
        return given;
    }

    /** The same where there may be none; null counts as none. */
    static <T> Collection<T> atMost(String name, Collection<T> given, int max, String what) {
        if (given != null && (given.size() > max || hasGap(given))) {
            throw Problem.badRequest(name + " must hold at most " + max + " " + what);
        }
        return given == null ? List.of() : given;
    }

    /** Collections of the JDK that cannot be changed throw where they are asked for null. */
    private static boolean hasGap(Collection<?> given) {
        return given.stream().anyMatch(Objects::isNull);
    }
}
