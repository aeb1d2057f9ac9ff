package org.logoutrelay.keycloak.outbox;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Set;

import org.junit.jupiter.api.Test;
import org.keycloak.models.ClientModel;
import org.keycloak.models.RealmModel;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.ledger.Tables;
import org.logoutrelay.keycloak.trigger.Trigger;

class LogoutTokensTest {
    private static final String API = "https://api.example.com";
    private static final long FAR_SECONDS = 4_000_000_000L;

    /** With one client, whose id is a URL. */
    private static RealmModel realm() {
        return proxy(RealmModel.class, (method, first) -> method.equals("getId") ? Tables.REALM
                : method.equals("getClientByClientId") && API.equals(first) ? proxy(ClientModel.class, (of, asked) -> null) : null);
    }

    private interface Answer {
        Object to(String method, Object first);
    }

    private static <T> T proxy(Class<T> type, Answer answer) {
        return type.cast(Proxy.newProxyInstance(LogoutTokensTest.class.getClassLoader(), new Class<?>[] {type},
                (self, method, args) -> answer.to(method.getName(), args == null ? null : args[0])));
    }

    private static List<String> refused(String issuer, String audience) {
        Trigger.Match match = new Trigger.Match(Trigger.byId("admin-logout"), "anna");
        OutboxRow row = new OutboxRow(SecurityEvent.of(match, "txn", Tables.REALM, "anna", "https://idp.example.org", false, false, null,
                null, false), 1_790_000_000_999L);
        return new Tables(Set.of()).in(session -> {
            Outbox.appendListed(session, row, List.of(ListedSession.at("idp", new ListedSession.Provider(issuer, "sub"), "txn",
                    "https://idp.example.org", "RS256", FAR_SECONDS)));
            return new LogoutTokens(session, realm()).mint(List.of(row.jti + ".0"), audience).refused().values().stream().toList();
        });
    }

    @Test
    void nothingIsSignedForAClientWhoseIdIsAUrl() {
        assertEquals(List.of("audience_is_client"), refused("https://login.example.com", API));
        assertEquals(List.of("audience_is_client"), refused(API, null));
    }
}
