package org.logoutrelay.keycloak.containment;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

import org.junit.jupiter.api.Test;
import org.keycloak.models.FederatedIdentityModel;
import org.keycloak.models.IdentityProviderModel;
import org.keycloak.models.IdentityProviderStorageProvider;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserProvider;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.trigger.Trigger;

class ToldTest {
    private static <T> T answering(Class<T> type, Map<String, Object> answers) {
        return type.cast(Proxy.newProxyInstance(ToldTest.class.getClassLoader(), new Class<?>[] {type},
                (self, method, args) -> answers.get(method.getName())));
    }

    private static List<ListedSession.Provider> told(boolean enabled, String issuers) {
        IdentityProviderModel provider = new IdentityProviderModel();
        provider.setAlias("staff");
        provider.setInternalId("idp");
        provider.setEnabled(enabled);
        provider.setConfig(Map.of("issuer", issuers));
        KeycloakSession session = answering(KeycloakSession.class, Map.of(
                "users", answering(UserProvider.class, Map.of("getFederatedIdentitiesStream",
                        Stream.of(new FederatedIdentityModel("staff", "sub", null)))),
                "identityProviders", answering(IdentityProviderStorageProvider.class, Map.of("getByAlias", provider))));
        RealmModel realm = answering(RealmModel.class, Map.of("getDefaultSignatureAlgorithm", "RS256"));
        return Told.listed(session, realm, null, new Trigger.Match(Trigger.byId("admin-logout"), "anna"), Set.of("staff"),
                "https://idp.example.org", "txn").stream().map(ListedSession::provider).toList();
    }

    @Test
    void ofSeveralIssuersTheFirstIsTold() {
        assertEquals(List.of(new ListedSession.Provider("https://a.example.com", "sub")),
                told(true, ",https://a.example.com,https://b.example.com"));
    }

    @Test
    void anIdentityProviderThatIsDisabledIsNotTold() {
        assertEquals(List.of(), told(false, "https://a.example.com"));
    }
}
