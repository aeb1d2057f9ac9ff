package org.logoutrelay.keycloak.rotation;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.Base64;

import org.junit.jupiter.api.Test;

import jakarta.ws.rs.core.MultivaluedHashMap;
import jakarta.ws.rs.core.MultivaluedMap;

/** What a token that is got for another one goes back to. */
class DerivedTest {
    private static final long AT_MS = 1_790_000_000_999L;
    private static final long LATER = 1_790_000_001L;

    private static String token(String id, long iat) {
        Base64.Encoder base64 = Base64.getUrlEncoder().withoutPadding();
        return base64.encodeToString("{\"alg\":\"RS256\"}".getBytes(StandardCharsets.UTF_8)) + "."
                + base64.encodeToString(("{\"jti\":\"" + id + "\",\"iat\":" + iat + "}").getBytes(StandardCharsets.UTF_8)) + ".c2ln";
    }

    private static boolean isOfProof(String authorization, String subjectToken) {
        MultivaluedMap<String, String> form = new MultivaluedHashMap<>();
        if (subjectToken != null) {
            form.putSingle("subject_token", subjectToken);
        }
        return Derived.isOfProofAfter(authorization, form, AT_MS);
    }

    @Test
    void aTokenForWhichTheClientHasProvenItselfLaterIsOfTheNewSecret() {
        assertTrue(isOfProof("Bearer " + token("trrtcc:1", LATER), null));
        assertTrue(isOfProof("DPoP " + token("onrtcc:1", LATER), null));
        assertTrue(isOfProof("Basic am9iOnNlY3JldA==", token("trrtcc:1", LATER)));
    }

    @Test
    void oneThatIsOlderOrWasItselfGotForAnotherOneIsNot() {
        assertFalse(isOfProof("Bearer " + token("trrtcc:1", LATER - 1), null));
        for (String id : new String[] {"trrtte:1", "trrtpg:1", "1"}) {
            assertFalse(isOfProof("Bearer " + token(id, LATER), null));
            assertFalse(isOfProof("dpop  " + token(id, LATER), null));
            assertFalse(isOfProof(null, token(id, LATER)));
        }
        assertFalse(isOfProof("Bearer " + token("trrtcc:1", LATER), token("trrtte:1", LATER)), "one of two");
    }

    @Test
    void whatCannotBeReadIsNot() {
        assertFalse(isOfProof(null, null));
        assertFalse(isOfProof("Basic am9iOnNlY3JldA==", null));
        assertFalse(isOfProof("Bearer opaque", null));
    }
}
