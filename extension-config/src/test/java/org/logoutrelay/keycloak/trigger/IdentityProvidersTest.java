package org.logoutrelay.keycloak.trigger;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;

import org.junit.jupiter.api.Test;
import org.keycloak.models.IdentityProviderModel;

class IdentityProvidersTest {
    private static List<String> issuers(String setting) {
        IdentityProviderModel provider = new IdentityProviderModel();
        provider.setConfig(Map.of("issuer", setting));
        return IdentityProviders.issuers(provider);
    }

    @Test
    void aCommaTooManyMakesNoIssuer() {
        assertEquals(List.of("https://a.example.com", "https://b.example.com"), issuers(", https://a.example.com,,https://b.example.com,"));
        assertEquals(List.of(), issuers(","));
    }
}
