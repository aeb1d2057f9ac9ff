package org.logoutrelay.keycloak.outbox;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One session of one outbox row, as the relay names it: {@code <jti>.<n>}. */
record SessionId(String jti, int n) {
    private static final Pattern FORM = Pattern.compile("([0-9a-f-]{36})\\.([0-9]{1,3})");

    /** Null for anything that is not of the form. */
    static SessionId parse(String id) {
        Matcher matcher = id == null ? null : FORM.matcher(id);
        return matcher == null || !matcher.matches() ? null
                : new SessionId(matcher.group(1), Integer.parseInt(matcher.group(2)));
    }
}
