package org.logoutrelay.keycloak.workload;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import java.util.Base64;

import org.junit.jupiter.api.Test;

import jakarta.ws.rs.core.MultivaluedHashMap;
import jakarta.ws.rs.core.MultivaluedMap;

class ProofTest {
    private static String jws(String header, String claims) {
        Base64.Encoder base64 = Base64.getUrlEncoder().withoutPadding();
        return base64.encodeToString(header.getBytes(StandardCharsets.UTF_8)) + "."
                + base64.encodeToString(claims.getBytes(StandardCharsets.UTF_8)) + ".c2ln";
    }

    private static String kid(String kind, String method, String... pairs) {
        MultivaluedMap<String, String> form = new MultivaluedHashMap<>();
        for (int n = 0; n < pairs.length; n += 2) {
            form.putSingle(pairs[n], pairs[n + 1]);
        }
        return Proof.kid(kind, method, form);
    }

    @Test
    void theKeyIsThatOfTheAssertion() {
        String ofClient = jws("{\"alg\":\"RS256\",\"kid\":\"of-the-client\"}", "{}");
        String ofGrant = jws("{\"alg\":\"RS256\",\"kid\":\"of-the-grant\"}", "{}");
        for (String method : new String[] {"client-jwt", "federated-jwt"}) {
            assertEquals("of-the-client", kid("client_credentials", method, "client_assertion", ofClient));
        }
        assertEquals("of-the-grant", kid("jwt-bearer", "client-jwt", "client_assertion", ofClient, "assertion", ofGrant));
        assertEquals("of-the-grant", kid("jwt-bearer", "client-secret", "assertion", ofGrant));
        assertEquals("", kid("client_credentials", "client-jwt"));
        assertEquals("", kid("client_credentials", "client-jwt", "client_assertion", "no.jws"));
        assertEquals("", kid("client_credentials", "client-jwt", "client_assertion", jws("{\"alg\":\"RS256\"}", "{}")));
    }

    @Test
    void anAssertionThatKeycloakPassesOverNamesNoKey() {
        String ofClient = jws("{\"alg\":\"RS256\",\"kid\":\"of-the-client\"}", "{}");
        String madeUp = jws("{\"alg\":\"none\",\"kid\":\"whatever the thief says\"}", "{}");
        assertEquals("of-the-client", kid("client_credentials", "client-jwt", "client_assertion", ofClient, "assertion", madeUp));
        assertEquals("of-the-client", kid("refresh_token", "client-jwt", "client_assertion", ofClient, "assertion", madeUp));
        for (String method : new String[] {"client-secret", "client-x509", "none", ""}) {
            assertEquals("", kid("client_credentials", method, "client_assertion", madeUp, "assertion", madeUp));
        }
    }

    @Test
    void anAssertionThatIsSignedWithTheSecretNamesNoKey() {
        assertEquals("", kid("client_credentials", "client-secret-jwt", "client_assertion",
                jws("{\"alg\":\"HS256\",\"kid\":\"whatever the thief says\"}", "{}")));
    }

    @Test
    void aHeaderThatIsNullLeavesTheRequestCounted() {
        assertEquals("", kid("client_credentials", "client-jwt", "client_assertion", jws("null", "{}")));
        assertEquals("", kid("jwt-bearer", "client-secret", "assertion", jws("null", "{}")));
        assertEquals("", kid("client_credentials", "client-secret", "assertion", jws("null", "{}")));
        assertEquals(new Proof.Brought("none", ""), Proof.Brought.of("Bearer " + jws("{}", "null")));
    }

    @Test
    void aCertificateGoesByItsThumbprint() throws Exception {
        // SHA-256 of nothing, base64url.
        assertEquals("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", Proof.thumbprint(new byte[0]));
    }

    @Test
    void whoRegistersClientsIsKnownByWhatTheyBring() {
        assertEquals(new Proof.Brought("registration-access-token", ""),
                Proof.Brought.of("bearer " + jws("{}", "{\"typ\":\"RegistrationAccessToken\",\"sub\":\"x\"}")));
        assertEquals(new Proof.Brought("initial-access-token", ""),
                Proof.Brought.of("Bearer " + jws("{}", "{\"typ\":\"InitialAccessToken\"}")));
        assertEquals(new Proof.Brought("access-token", "alice"),
                Proof.Brought.of("Bearer " + jws("{}", "{\"typ\":\"Bearer\",\"sub\":\"alice\"}")));
        for (String other : new String[] {null, "Basic am9iOnNlY3JldA==", "Bearer x", "Bearer"}) {
            assertEquals(new Proof.Brought("none", ""), Proof.Brought.of(other));
        }
    }
}
