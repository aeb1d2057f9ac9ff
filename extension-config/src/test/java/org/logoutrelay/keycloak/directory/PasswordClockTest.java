package org.logoutrelay.keycloak.directory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Instant;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PasswordClockTest {
    @ParameterizedTest
    @CsvSource({
        // Active Directory counts tenths of microseconds from 1601, and is exact.
        "134085408001234567, 2025-11-25T10:40:00.123Z",
        // Whole seconds stand for their last millisecond.
        "20261130030259Z, 2026-11-30T03:02:59.999Z",
        "20261130030259.0Z, 2026-11-30T03:02:59.999Z",
        "20261130030259.25Z, 2026-11-30T03:02:59.250Z",
        "20261130030260Z, 2026-11-30T03:02:59.999Z",
        "1764471779, 2025-11-30T03:02:59.999Z",
        "1764471779123, 2025-11-30T03:02:59.123Z"})
    void theTimeOfEveryDirectoryIsRead(String text, Instant expected) {
        assertEquals(expected.toEpochMilli(), PasswordClock.latestMs(text).orElseThrow());
    }

    @ParameterizedTest
    @ValueSource(strings = {PasswordClock.NONE, "0", "-1", "1", "116444736000000000", "16010101000000Z", "19700101000000Z", "20261399000000Z",
            "20261130030259+0100", "9999999999999999999", "yesterday", ""})
    void whatTellsNoTimeIsNotTakenForOne(String text) {
        assertTrue(PasswordClock.latestMs(text).isEmpty(), text);
    }

    @Test
    void whateverADirectoryAnswersFitsItsColumn() {
        assertEquals(64, PasswordClock.kept("9".repeat(5000)).length());
        assertEquals(PasswordClock.NONE, PasswordClock.kept(" "));
        assertEquals(PasswordClock.NONE, PasswordClock.kept(null));
    }
}
