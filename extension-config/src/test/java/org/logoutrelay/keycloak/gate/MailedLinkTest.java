package org.logoutrelay.keycloak.gate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.keycloak.representations.JsonWebToken;
import org.logoutrelay.keycloak.base.DbClock;

class MailedLinkTest {
    private static JsonWebToken link(String type, Long iat) {
        return new JsonWebToken().type(type).iat(iat);
    }

    @Test
    void aLinkThatAUserCanHaveSentCountsFromTheBeginningOfItsSecond() {
        assertEquals(100_000, MailedLink.issuedMs(link("reset-credentials", 100L)));
        assertEquals(100_000, MailedLink.issuedMs(link("update-email", 100L)));
    }

    @Test
    void aLinkThatAnAdministratorSendsInTheSecondOfTheResetIsNewerThanTheReset() {
        assertEquals(DbClock.endOfSecond(100_000) + 1, MailedLink.issuedMs(link("execute-actions", 100L)));
    }

    @Test
    void whatKeycloakIssuesAnewWhenSuchALinkIsOpenedIsNot() {
        JsonWebToken reissued = link("execute-actions", 100L);
        reissued.setOtherClaims("asid", "root.tab");
        assertEquals(100_000, MailedLink.issuedMs(reissued));
    }

    @Test
    void aLinkThatDoesNotSayWhenItWasIssuedIsAsOldAsCanBe() {
        assertEquals(0, MailedLink.issuedMs(link("reset-credentials", null)));
    }
}
