package org.logoutrelay.keycloak.directory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.OptionalLong;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.logoutrelay.keycloak.trigger.Trigger;

class ChangeTest {
    /** 2026-11-30T03:00:00Z. */
    private static final long NOON = 1_796_007_600_000L;
    private static final String AT_NOON = "20261130030000Z";
    private static final String AN_HOUR_BEFORE = "20261130020000Z";
    private static final Change.Clocks A_MINUTE_LATER = new Change.Clocks(NOON + 60_000, 0L);

    private static SeenRow seen(String clock) {
        SeenRow row = new SeenRow();
        row.passwordClock = clock;
        return row;
    }

    private static Directory.Entry entry(String clock) {
        return new Directory.Entry(clock, false);
    }

    private static Change of(String before, String after, Change.Clocks clocks) {
        return Change.of(before == null ? null : seen(before), entry(after), clocks);
    }

    @Test
    void aPasswordIsChangedWhenTheDirectorySaysSoAndNotWhenItIsSeen() {
        Change change = of(AN_HOUR_BEFORE, AT_NOON, A_MINUTE_LATER);
        assertEquals(Trigger.DIRECTORY_PASSWORD_CHANGED, change.trigger());
        assertEquals(NOON + 999, change.watermarkMs());
        assertNull(of(AT_NOON, AT_NOON, A_MINUTE_LATER));
    }

    @ParameterizedTest
    @ValueSource(longs = {-90_000, -40, 300, 3_600_000})
    void itsTimeIsCorrectedByHowMuchItsClockIsAhead(long aheadMs) {
        Change change = of(AN_HOUR_BEFORE, AT_NOON, new Change.Clocks(NOON + 4_000_000, aheadMs));
        assertEquals(NOON + 999 - aheadMs, change.latestMs());
    }

    @Test
    void theFirstTimeCountsTooSinceThePasswordMayHaveBeenChangedBeforeTheFirstLook() {
        assertEquals(NOON + 999, of(null, AT_NOON, A_MINUTE_LATER).watermarkMs());
        assertEquals(NOON + 999, of(PasswordClock.NONE, AT_NOON, A_MINUTE_LATER).watermarkMs());
        assertTrue(of(null, PasswordClock.NONE, A_MINUTE_LATER).isOnlyToBeNoted());
    }

    @ParameterizedTest
    @ValueSource(strings = {"0", "16010101000000Z", AN_HOUR_BEFORE, PasswordClock.NONE, "20991231235959Z"})
    void aClockThatGoesBackOrTellsNoTimeOrOneThatIsToComeEndsAllThatThereIsNow(String clock) {
        assertEquals(NOON + 60_999, of(AT_NOON, clock, A_MINUTE_LATER).watermarkMs());
    }

    @Test
    void whatHasJustBeenChangedIsNotJudgedYet() {
        assertTrue(Change.isYoung(entry(AT_NOON), new Change.Clocks(NOON + 1_500, 0L)));
        assertTrue(Change.isYoung(entry(AT_NOON), new Change.Clocks(NOON + 91_000, -90_000L)));
        assertFalse(Change.isYoung(entry(AT_NOON), A_MINUTE_LATER));
        assertFalse(Change.isYoung(entry("0"), A_MINUTE_LATER));
        assertFalse(Change.isYoung(entry("20991231235959Z"), A_MINUTE_LATER));
    }

    @Test
    void whatKeycloakItselfHasSetIsItsOwnAndALaterChangeIsNot() {
        Change change = of(AN_HOUR_BEFORE, AT_NOON, A_MINUTE_LATER);
        assertTrue(change.isOwn(OptionalLong.of(NOON + 50)));
        assertFalse(change.isOwn(OptionalLong.of(NOON - 5_000)));
        assertFalse(change.isOwn(OptionalLong.empty()));
        assertTrue(of(AT_NOON, "0", A_MINUTE_LATER).isOwn(OptionalLong.of(NOON)));
        Change disabled = Change.of(seen(AN_HOUR_BEFORE), new Directory.Entry(AT_NOON, true), A_MINUTE_LATER);
        assertFalse(disabled.isOwn(OptionalLong.of(NOON + 50)));
    }

    @Test
    void anAccountIsDisabledOnceAndMayBeAgain() {
        Change change = Change.of(seen(AT_NOON), new Directory.Entry(AT_NOON, true), A_MINUTE_LATER);
        assertEquals(Trigger.DIRECTORY_ACCOUNT_DISABLED, change.trigger());
        SeenRow disabled = seen(AT_NOON);
        disabled.disabled = true;
        assertNull(Change.of(disabled, new Directory.Entry(AT_NOON, true), A_MINUTE_LATER));
        Change enabled = Change.of(disabled, entry(AT_NOON), A_MINUTE_LATER);
        assertTrue(enabled.isOnlyToBeNoted());
        assertFalse(enabled.disabled());
    }

    @Test
    void whoIsMissingIsDeletedAtTheSecondLookAndToldOnce() {
        Change missing = Change.of(seen(AT_NOON), null, A_MINUTE_LATER);
        assertTrue(missing.isOnlyToBeNoted());
        assertEquals(NOON + 60_000, missing.goneMs());
        SeenRow row = seen(AT_NOON);
        row.goneMs = missing.goneMs();
        assertNull(Change.of(row, null, new Change.Clocks(NOON + 60_500, 0L)));
        Change deleted = Change.of(row, null, new Change.Clocks(NOON + 90_000, 0L));
        assertEquals(Trigger.DIRECTORY_ACCOUNT_DELETED, deleted.trigger());
        row.goneMs = deleted.goneMs();
        assertNull(Change.of(row, null, new Change.Clocks(NOON + 120_000, 0L)));
        assertEquals(0, Change.of(row, entry(AT_NOON), new Change.Clocks(NOON + 150_000, 0L)).goneMs());
    }
}
