package org.logoutrelay.keycloak.upstream;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;

import org.junit.jupiter.api.Test;
import org.logoutrelay.keycloak.trigger.Trigger;

class UpstreamsTest {
    private static final long NOW_MS = 1_790_000_000_500L;

    private static Long datedBy(Long atMs) {
        SourceRow source = new SourceRow();
        source.iss = "https://login.example.com";
        WordRow row = new WordRow();
        row.userId = "anna";
        row.triggerId = "upstream-sessions-revoked";
        row.upstreamTxn = "txn";
        row.atMs = Upstreams.watermarkMs(atMs, NOW_MS);
        Trigger.Match match = Upstreams.match(source, row, Upstreams.isPast(atMs, NOW_MS));
        assertEquals(new Trigger.Upstream("https://login.example.com", "txn"), match.upstream());
        return match.atMs();
    }

    @Test
    void aWordOfThePastSparesWhatBeganAfterIt() {
        assertEquals(1_789_999_999_999L, datedBy(NOW_MS - 1_000));
    }

    @Test
    void aWordOfNowEndsAllThatIsRecordedWhateverAClockSays() {
        assertNull(datedBy(null));
        assertNull(datedBy(NOW_MS));
        assertNull(datedBy(NOW_MS + 60_000));
    }

    private static String source(String issuer, String client) {
        return Upstreams.sourceId("realm", new Upstreams.Word(issuer, client, List.of(), null, null, "id", "txn"));
    }

    @Test
    void aRealmBehindHasOneLimitWhateverIssuerItsWordsHave() {
        assertEquals(source("https://one.example.com", "behind"), source("https://two.example.com", "behind"));
        assertNotEquals(source("https://one.example.com", "behind"), source("https://one.example.com", "another"));
        assertNotEquals(source("https://one.example.com", "behind"), source("https://one.example.com", null));
    }

    @Test
    void eachIdentityProviderHasALimitOfItsOwn() {
        assertNotEquals(source("https://one.example.com", null), source("https://two.example.com", null));
    }
}
