package org.logoutrelay.keycloak.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.junit.jupiter.api.Test;
import org.keycloak.jose.jwk.ECPublicJWK;
import org.keycloak.jose.jwe.JWEHeader;
import org.keycloak.representations.LogoutToken;
import org.keycloak.util.JsonSerialization;

class TokenEncryptionTest {
    @Test
    void theHeaderNamesTheIssuerAlsoOnceKeycloakHasBuiltItAnewWithTheKeyThatItMade() throws Exception {
        JWEHeader header = new JweHeader("ECDH-ES", "A256GCM", "of the client", "https://idp.example.org/realms/main")
                .toBuilder().ephemeralPublicKey(new ECPublicJWK()).build();
        assertTrue(header.getEphemeralPublicKey() != null);
        Map<?, ?> written = JsonSerialization.readValue(JsonSerialization.writeValueAsString(header), HashMap.class);
        written.remove("epk");
        assertEquals(Map.of("alg", "ECDH-ES", "enc", "A256GCM", "kid", "of the client", "cty", "JWT",
                "iss", "https://idp.example.org/realms/main"), written);
    }

    @Test
    void aRowSaysThatASessionsTokensWereEncryptedAndIsOtherwiseAsBefore() {
        LogoutToken claims = new LogoutToken();
        claims.addAudience("orders");
        for (boolean encrypted : new boolean[] {true, false}) {
            String row = ListedSession.write(List.of(
                    new ListedSession("uuid", "sid-1", "RS256", null, true, false, 100, 200, encrypted, claims)));
            assertEquals(encrypted, row.contains("encrypted"));
            assertEquals(encrypted, ListedSession.read(row).get(0).encrypted());
        }
    }

    @Test
    void aClientWantsItsTokensEncryptedIfItNamesAnAlgorithm() {
        String alg = "id.token.encrypted.response.alg";
        assertTrue(TokenEncryption.isWanted(TokenShapeTest.client(Map.of(alg, "RSA-OAEP"))));
        assertFalse(TokenEncryption.isWanted(TokenShapeTest.client(Map.of(alg, ""))));
        assertFalse(TokenEncryption.isWanted(TokenShapeTest.client(Map.of("id.token.encrypted.response.enc", "A256GCM"))));
    }
}
