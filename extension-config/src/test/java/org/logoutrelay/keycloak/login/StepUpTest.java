package org.logoutrelay.keycloak.login;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StepUpTest {
    @ParameterizedTest
    @ValueSource(strings = {"auth-otp-form", "direct-grant-validate-otp", "webauthn-authenticator",
            "webauthn-authenticator-passwordless", "auth-recovery-authn-code-form"})
    void whatSucceedsOnlyWithASecondFactorProvesOne(String authenticator) {
        assertTrue(StepUp.isSecondFactor(authenticator));
    }

    @ParameterizedTest
    @ValueSource(strings = {"auth-conditional-otp-form", "reset-otp", "auth-username-password-form", "auth-cookie"})
    void whatMaySucceedWithoutASecondFactorProvesNone(String authenticator) {
        assertFalse(StepUp.isSecondFactor(authenticator));
    }

    @Test
    void aStepThatIsASubFlowProvesNone() {
        assertFalse(StepUp.isSecondFactor((String) null));
    }
}
