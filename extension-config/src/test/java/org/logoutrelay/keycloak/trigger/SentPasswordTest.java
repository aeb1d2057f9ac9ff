package org.logoutrelay.keycloak.trigger;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.List;

import org.junit.jupiter.api.Test;
import org.keycloak.representations.idm.CredentialRepresentation;

class SentPasswordTest {
    private static CredentialRepresentation credential(String type, String value) {
        CredentialRepresentation credential = new CredentialRepresentation();
        credential.setType(type);
        credential.setValue(value);
        return credential;
    }

    private static void sent(boolean expected, CredentialRepresentation... credentials) {
        assertEquals(expected, SentPassword.isIn(Arrays.asList(credentials)));
    }

    @Test
    void aValueIsAPasswordWhateverItsTypeSays() {
        sent(true, credential("password", "new"));
        sent(true, credential(null, "new"));
        sent(true, credential("otp", null), credential("otp", "new"));
    }

    @Test
    void withoutAValueThereIsNone() {
        assertEquals(false, SentPassword.isIn(null));
        assertEquals(false, SentPassword.isIn(List.of()));
        sent(false, credential("password", null), credential("password", ""), (CredentialRepresentation) null);
    }
}
