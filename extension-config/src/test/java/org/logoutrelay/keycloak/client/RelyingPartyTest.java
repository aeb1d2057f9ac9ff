package org.logoutrelay.keycloak.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.keycloak.models.ClientModel;

class RelyingPartyTest {
    /** @param is what answers true, by the name of the method */
    private static ClientModel client(String id, String is, Map<String, String> attributes) {
        return (ClientModel) Proxy.newProxyInstance(ClientModel.class.getClassLoader(), new Class<?>[] {ClientModel.class},
                (proxy, method, arguments) -> method.getName().equals("getClientId") ? id
                        : arguments == null ? is.equals(method.getName()) : attributes.get((String) arguments[0]));
    }

    @ParameterizedTest(name = "{0}, {1}, device grant {2}, CIBA {3}, max-life {4}: {5}")
    @CsvSource(nullValues = "-", value = {
        "spa, isPublicClient, -, -, -, true",
        "spa, isPublicClient, -, -, 3600, false",
        "cli, isServiceAccountsEnabled, true, -, -, true",
        "cli, isServiceAccountsEnabled, true, -, 3600, false",
        "cli, isServiceAccountsEnabled, true, true, -, false",
        "cli, isServiceAccountsEnabled, -, -, -, false",
        "cli, isStandardFlowEnabled, true, -, -, false",
        "cli, isImplicitFlowEnabled, true, -, -, false",
        "cli, isDirectAccessGrantsEnabled, true, -, -, false",
        "tv, isServiceAccountsEnabled, true, -, -, false",
    })
    void aPublicClientAndTheCommandLineOfOperatorsHaveNothingButTheirTokens(String id, String is, String device, String ciba,
            String life, boolean tokensOnly) {
        Map<String, String> attributes = new HashMap<>();
        attributes.put("oauth2.device.authorization.grant.enabled", device);
        attributes.put("oidc.ciba.grant.enabled", ciba);
        attributes.put("logout-relay.session.max-life", life);
        assertEquals(tokensOnly, RelyingParty.hasTokensOnly(client(id, is, attributes), Set.of("cli")));
    }
}
