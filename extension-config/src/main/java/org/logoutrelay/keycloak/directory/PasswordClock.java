package org.logoutrelay.keycloak.directory;

import java.time.DateTimeException;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.List;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** When a user's password was last changed, as directories write it. */
final class PasswordClock {
    /** Of Active Directory; of OpenLDAP with ppolicy and IBM's; of 389 Directory Server; of FreeIPA. The first that is there counts. */
    static final List<String> ATTRIBUTES = List.of("pwdLastSet", "pwdChangedTime", "pwdUpdateTime", "krbLastPwdChange");

    /** Where the directory writes none: before the first change, by an administrator who adds the user, or never. */
    static final String NONE = "-";

    /** Milliseconds from 1601, where Windows begins to count, to 1970. */
    private static final long WINDOWS_EPOCH_MS = 11_644_473_600_000L;
    private static final long TICKS_PER_MS = 10_000;

    /** No directory has changed a password before it: a value that says so means something else. */
    private static final long FIRST_MS = 315_532_800_000L;
    private static final int MAX_LENGTH = 64;

    /** RFC 4517 §3.3.13, in UTC, as every directory writes it. */
    private static final Pattern GENERALIZED = Pattern.compile("(\\d{4})(\\d\\d)(\\d\\d)(\\d\\d)(\\d\\d)(\\d\\d)(?:[.,](\\d{1,9}))?Z");

    private PasswordClock() {
    }

    /** What is kept of a value, and compared. */
    static String kept(String value) {
        String text = value == null ? "" : value.trim();
        return text.isEmpty() ? NONE : text.length() > MAX_LENGTH ? text.substring(0, MAX_LENGTH) : text;
    }

    /**
     * The last millisecond that the value can mean, since most are whole seconds. Empty where it names no time, such as 0,
     * by which Active Directory says that the password must be changed.
     */
    static OptionalLong latestMs(String value) {
        OptionalLong ms = parsed(value);
        return ms.isPresent() && ms.getAsLong() < FIRST_MS ? OptionalLong.empty() : ms;
    }

    private static OptionalLong parsed(String value) {
        Matcher generalized = GENERALIZED.matcher(value);
        if (generalized.matches()) {
            return generalized(generalized);
        }
        if (!value.matches("\\d{9,19}")) {
            return OptionalLong.empty();
        }
        try {
            long number = Long.parseLong(value);
            return OptionalLong.of(switch (value.length()) {
                case 9, 10 -> number * 1000 + 999;
                case 12, 13 -> number;
                default -> number / TICKS_PER_MS - WINDOWS_EPOCH_MS;
            });
        } catch (NumberFormatException e) {
            return OptionalLong.empty();
        }
    }

    private static OptionalLong generalized(Matcher text) {
        try {
            long second = LocalDateTime.of(part(text, 1), part(text, 2), part(text, 3), part(text, 4), part(text, 5),
                    Math.min(part(text, 6), 59)).toEpochSecond(ZoneOffset.UTC);
            String fraction = text.group(7);
            // Active Directory writes ".0" always, and means the whole second.
            return OptionalLong.of(second * 1000 + (fraction == null || Long.parseLong(fraction) == 0 ? 999
                    : Long.parseLong((fraction + "00").substring(0, 3))));
        } catch (DateTimeException e) {
            return OptionalLong.empty();
        }
    }

    private static int part(Matcher text, int group) {
        return Integer.parseInt(text.group(group));
    }
}
