package org.logoutrelay.keycloak.rotation;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.Base64;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import org.junit.jupiter.api.Test;
import org.keycloak.util.BasicAuthHelper;

import jakarta.ws.rs.core.MultivaluedHashMap;
import jakarta.ws.rs.core.MultivaluedMap;

class PresentedTest {
    private static final String SECRET = "s3cret %+:ü";

    private static MultivaluedMap<String, String> form(String name, String value) {
        MultivaluedMap<String, String> form = new MultivaluedHashMap<>();
        form.putSingle(name, value);
        return form;
    }

    private static String assertion(String algorithm, String mac, String secret) throws Exception {
        Base64.Encoder base64 = Base64.getUrlEncoder().withoutPadding();
        String input = base64.encodeToString(("{\"alg\":\"" + algorithm + "\"}").getBytes(StandardCharsets.UTF_8)) + "."
                + base64.encodeToString("{\"iss\":\"job\"}".getBytes(StandardCharsets.UTF_8));
        Mac signer = Mac.getInstance(mac);
        signer.init(new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), mac));
        return input + "." + base64.encodeToString(signer.doFinal(input.getBytes(StandardCharsets.UTF_8)));
    }

    @Test
    void theSecretIsFoundWhereKeycloakTakesItFrom() {
        String encoded = BasicAuthHelper.RFC6749.createHeader("job", SECRET);
        String plain = BasicAuthHelper.createHeader("job", "s3cret");
        assertTrue(Presented.is(SECRET, encoded, new MultivaluedHashMap<>()));
        assertTrue(Presented.is("s3cret", plain, new MultivaluedHashMap<>()));
        assertTrue(Presented.is(SECRET, null, form("client_secret", SECRET)));
        assertTrue(Presented.is(SECRET, BasicAuthHelper.RFC6749.createHeader("job", "another"), form("client_secret", SECRET)),
                "the form counts before the header");
    }

    @Test
    void anotherSecretOrNoneIsNotTheSecret() {
        assertFalse(Presented.is(SECRET, BasicAuthHelper.RFC6749.createHeader("job", "another"), new MultivaluedHashMap<>()));
        assertFalse(Presented.is(SECRET, BasicAuthHelper.RFC6749.createHeader("job", SECRET), form("client_secret", "another")));
        assertFalse(Presented.is(SECRET, null, new MultivaluedHashMap<>()));
        assertFalse(Presented.is(SECRET, "Bearer x", new MultivaluedHashMap<>()));
        assertFalse(Presented.is(SECRET, null, form("client_secret", "")));
    }

    @Test
    void anAssertionIsTheSecretWhichItIsSignedWith() throws Exception {
        for (String bits : new String[] {"256", "384", "512"}) {
            String signed = assertion("HS" + bits, "HmacSHA" + bits, SECRET);
            assertTrue(Presented.is(SECRET, null, form("client_assertion", signed)));
            assertFalse(Presented.is("another", null, form("client_assertion", signed)));
        }
        assertFalse(Presented.is(SECRET, null, form("client_assertion", assertion("RS256", "HmacSHA256", SECRET))));
        assertFalse(Presented.is(SECRET, null, form("client_assertion", "no.jws")));
        assertFalse(Presented.is(SECRET, null, form("client_assertion", "a.b.!")));
    }
}
