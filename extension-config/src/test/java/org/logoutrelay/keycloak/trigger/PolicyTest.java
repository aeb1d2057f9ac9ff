package org.logoutrelay.keycloak.trigger;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

import org.junit.jupiter.api.Test;

class PolicyTest {
    private static final Trigger RESET = Trigger.byId("admin-reset-password");
    private static final Trigger REVOKED = Trigger.byId("upstream-sessions-revoked");
    private static final Trigger PASSWORD_CHANGED = Trigger.byId("upstream-password-changed");
    private static final Trigger LOCKOUT = Trigger.byId("brute-force-lockout");

    private static Policy policy(String name, String value) {
        return new Policy(Map.of("logout-relay." + name, value));
    }

    @Test
    void withoutAttributesTheDefaultsCount() {
        Policy policy = new Policy(Map.of());
        assertEquals(Optional.of(RESET.steps()), policy.steps(RESET));
        assertEquals(Optional.empty(), policy.steps(LOCKOUT));
        assertFalse(policy.isShadow());
        assertEquals(86_400_000, policy.recentFactorsWindowMs());
        assertEquals(20, policy.operatorLimit());
        assertEquals(3_600_000, policy.operatorWindowMs());
    }

    @Test
    void whatIsInForceShowsHowFarSomebodysWordReaches() {
        assertEquals("9999", policy("operator.limit", "9999").inForce().get("operator.limit"));
        assertEquals("3600", policy("operator.limit", "9999").inForce().get("operator.window"));
    }

    @Test
    void howManyUsersSomebodysWordMayContainIsANumber() {
        assertEquals(0, policy("operator.limit", "0").operatorLimit());
        assertEquals(20, policy("operator.limit", "many").operatorLimit());
        assertTrue(Policy.complaint(Map.of("logout-relay.operator.limit", "-1")).contains("for example, 20"));
        assertTrue(Policy.complaint(Map.of("logout-relay.operator.window", "1h")).contains("for example, 3600"));
        assertTrue(Policy.complaint(Map.of("logout-relay.directories.limit", "many")).contains("for example, 100"));
        assertTrue(Policy.complaint(Map.of("logout-relay.directories.clock", "a=b")).contains("for example, krbLastPwdChange"));
        assertNull(Policy.complaint(Map.of("logout-relay.directories.clock", "sambaPwdLastSet", "logout-relay.directories.limit", "")));
    }

    @Test
    void howManyUsersAnIdentityProvidersWordMayContainIsANumber() {
        assertEquals(100, new Policy(Map.of()).upstreamLimit());
        assertEquals(3_600_000, new Policy(Map.of()).upstreamWindowMs());
        assertEquals(0, policy("upstreams.limit", "0").upstreamLimit());
        assertEquals("60", policy("upstreams.window", "60").inForce().get("upstreams.window"));
        assertTrue(Policy.complaint(Map.of("logout-relay.upstreams.limit", "many")).contains("for example, 100"));
        assertTrue(Policy.complaint(Map.of("logout-relay.upstreams.window", "1h")).contains("for example, 3600"));
    }

    @Test
    void anIdentityProviderNamesNobodyByEmailUnlessTheRealmSaysSo() {
        assertFalse(new Policy(Map.of()).namesByEmail("okta"));
        assertTrue(policy("upstreams.email", "google, okta").namesByEmail("okta"));
        assertFalse(policy("upstreams.email", "okta").namesByEmail("okta2"));
    }

    @Test
    void whatIsSetForOneIdentityProviderCountsInPlaceOfWhatIsSetForAll() {
        Policy policy = new Policy(Map.of("logout-relay.policy.upstream-sessions-revoked", "off",
                "logout-relay.policy.upstream-sessions-revoked.okta", "sessions, consents",
                "logout-relay.policy.upstream-sessions-revoked.staff.eu", " sessions, factors ",
                "logout-relay.policy.upstream-password-changed.okta", "off"));
        assertEquals(Optional.of(Set.of(Policy.Step.CONSENTS)), policy.steps(REVOKED, List.of("okta")));
        assertEquals(Optional.of(Set.of(Policy.Step.FACTORS)), policy.steps(REVOKED, List.of("staff.eu")));
        assertEquals(Optional.empty(), policy.steps(REVOKED, List.of("staff")));
        assertEquals(Optional.empty(), policy.steps(REVOKED, List.of()));
        assertEquals(Optional.empty(), policy.steps(PASSWORD_CHANGED, List.of("okta")));
        assertEquals(Optional.of(PASSWORD_CHANGED.steps()), policy.steps(PASSWORD_CHANGED, List.of("google")));
    }

    @Test
    void ofSeveralIdentityProvidersThatHaveSaidItCountsWhatAnyOfThemCauses() {
        Policy policy = new Policy(Map.of("logout-relay.policy.upstream-sessions-revoked", "off",
                "logout-relay.policy.upstream-sessions-revoked.okta", "sessions, consents",
                "logout-relay.policy.upstream-sessions-revoked.google", "sessions, factors"));
        assertEquals(Optional.of(Set.of(Policy.Step.CONSENTS)), policy.steps(REVOKED, List.of("staff", "okta")));
        assertEquals(Optional.of(Set.of(Policy.Step.CONSENTS, Policy.Step.FACTORS)), policy.steps(REVOKED, List.of("google", "okta")));
    }

    @Test
    void whatIsInForceForOneIdentityProviderIsTold() {
        Map<String, String> inForce = new Policy(Map.of("logout-relay.policy.upstream-logout.okta", "off",
                "logout-relay.policy.upstream-claims-changed.okta", "sessions,consents",
                "logout-relay.policy.upstream-logout.google", "")).inForce();
        assertEquals("off", inForce.get("upstream-logout.okta"));
        assertEquals("sessions, consents", inForce.get("upstream-claims-changed.okta"));
        assertEquals("sessions", inForce.get("upstream-logout"));
        assertFalse(inForce.containsKey("upstream-logout.google"));
    }

    @Test
    void onlyWhatAnIdentityProviderSaysIsSetForOneAlone() {
        assertNull(Policy.complaint(Map.of("logout-relay.policy.upstream-logout.okta", "off", "logout-relay.policy.upstream-logout.a.b", "")));
        for (String name : List.of("email-changed.okta", "upstream-logout.", "upstream-logouts.okta", "upstream-logout. ")) {
            assertTrue(Policy.complaint(Map.of("logout-relay.policy." + name, "off")).startsWith(
                    "logout-relay.policy." + name + " names no trigger"), name);
        }
        assertTrue(Policy.complaint(Map.of("logout-relay.policy.upstream-logout.okta", "sessions, people")).contains("'people'"));
    }

    @Test
    void settingsForIdentityProvidersThatTheRealmDoesNotHaveAreNamed() {
        Policy policy = new Policy(Map.of("logout-relay.policy.upstream-logout.okta", "off",
                "logout-relay.policy.upstream-logout.okte", "off", "logout-relay.policy.upstream-logout.gone", "",
                "logout-relay.upstreams.email", "okta, googel", "logout-relay.upstreams.told", "staf"));
        assertEquals(List.of(Map.of("attribute", "logout-relay.policy.upstream-logout.okte", "alias", "okte"),
                Map.of("attribute", "logout-relay.upstreams.email", "alias", "googel"),
                Map.of("attribute", "logout-relay.upstreams.told", "alias", "staf")), policy.ofNobody("okta"::equals));
    }

    @Test
    void anIdentityProviderIsToldOnlyWhereTheTriggerHasTheStepAndTheListNamesIt() {
        Policy policy = new Policy(Map.of("logout-relay.upstreams.told", "staff, okta"));
        assertEquals(Set.of("staff", "okta"), policy.toldAliases(Set.of(Policy.Step.TELL_UPSTREAMS)));
        assertEquals(Set.of(), policy.toldAliases(Set.of(Policy.Step.CONSENTS)));
        assertEquals(Set.of(), policy("mode", "enforce").toldAliases(Set.of(Policy.Step.TELL_UPSTREAMS)));
        Trigger.ALL.forEach(trigger -> assertEquals(Set.of(), policy.toldAliases(policy.steps(trigger).orElse(Set.of())), trigger.id()));
    }

    @Test
    void aRealmBehindIsHeardOnlyByAClientThatIsNamed() {
        Policy policy = policy("downstreams.clients", "main, other");
        assertEquals(List.of(true, true, false, false), List.of(policy.hearsDownstream("main"), policy.hearsDownstream("other"),
                policy.hearsDownstream("main, other"), policy("mode", "enforce").hearsDownstream("main")));
    }

    @Test
    void aTriggerCanBeSwitchedOffAndOn() {
        assertEquals(Optional.empty(), policy("policy.admin-reset-password", "off").steps(RESET));
        assertEquals(Optional.of(Set.of()), policy("policy.brute-force-lockout", "sessions").steps(LOCKOUT));
    }

    @Test
    void stepsAreReadAsAList() {
        assertEquals(Optional.of(Set.of(Policy.Step.CONSENTS, Policy.Step.RECOVERY_CODES)),
                policy("policy.admin-reset-password", " sessions, consents ,recovery-codes").steps(RESET));
    }

    @Test
    void whatWasWrittenPastKeycloakAndMeansNothingEndsNoLessThanTheDefault() {
        assertEquals(Optional.of(RESET.steps()), policy("policy.admin-reset-password", "of").steps(RESET));
        assertEquals(Optional.of(Set.of()), policy("policy.brute-force-lockout", "session").steps(LOCKOUT));
        assertEquals(86_400_000, policy("recent-factors.window", "a day").recentFactorsWindowMs());
    }

    @Test
    void onlyTheSignOutOfEverybodyIsAskedAbout() {
        assertTrue(new Policy(Map.of()).asks(Trigger.REALM_LOGOUT));
        assertTrue(policy("policy.realm-logout", "ask").asks(Trigger.REALM_LOGOUT));
        assertFalse(policy("policy.realm-logout", "sessions").asks(Trigger.REALM_LOGOUT));
        assertEquals(Optional.empty(), policy("policy.realm-logout", "off").steps(Trigger.REALM_LOGOUT));
        assertNull(Policy.complaint(Map.of("logout-relay.policy.realm-logout", "ask")));
        assertTrue(Policy.complaint(Map.of("logout-relay.policy.admin-logout", "ask")).contains("'ask'"));
    }

    @Test
    void clientsAreSparedOnlyWhereTheTriggerSaysSo() {
        Policy policy = policy("spare-offline.clients", "backup, report ,backup");
        assertEquals(Set.of("backup", "report"), policy.sparedClients(Set.of(Policy.Step.SPARE_OFFLINE)));
        assertEquals(Set.of(), policy.sparedClients(RESET.steps()));
        assertEquals(Set.of(), new Policy(Map.of()).sparedClients(Set.of(Policy.Step.SPARE_OFFLINE)));
    }

    @Test
    void stepsForClientsMeanNothingForPeopleNorTheOtherWayRound() {
        assertNull(Policy.complaint(Map.of("logout-relay.policy.client-secret-changed", "sessions, people, registration-token")));
        assertNull(Policy.complaint(Map.of("logout-relay.policy.client-disabled", "off")));
        assertTrue(Policy.complaint(Map.of("logout-relay.policy.client-secret-changed", "sessions, consents"))
                .endsWith("'consents'; give off, or sessions and any of people, registration-token"));
        String complaint = Policy.complaint(Map.of("logout-relay.policy.admin-logout", "sessions, people"));
        assertTrue(complaint.contains("'people'"));
        assertFalse(complaint.contains("registration-token"));
        assertTrue(Trigger.ALL.stream().filter(trigger -> trigger.steps() != null)
                .allMatch(trigger -> trigger.steps().stream().allMatch(step -> step.fits(trigger))));
    }

    @Test
    void theTokensOfNamedClientsAloneCarrySomebodysWord() {
        assertEquals(Set.of("logout-relay-operator"), new Policy(Map.of()).clients());
        assertEquals(Set.of("logout-relay-operator"), policy("clients", "  ").clients());
        assertEquals(Set.of("oncall", "program"), policy("clients", " program,oncall , program").clients());
        assertEquals(Set.of(), policy("clients", ",").clients());
        assertEquals("oncall, program", policy("clients", "program, oncall").inForce().get("clients"));
    }

    @Test
    void thereIsNoWordForAllClientsAndNoneForThoseOfKeycloak() {
        assertTrue(Policy.complaint(Map.of("logout-relay.clients", "program, *")).contains("name each"));
        assertTrue(Policy.complaint(Map.of("logout-relay.clients", "program,admin-cli")).contains("comes with Keycloak"));
        assertNull(Policy.complaint(Map.of("logout-relay.clients", "logout-relay-operator, oncall")));
        assertNull(Policy.complaint(Map.of("logout-relay.clients", "")));
    }

    @Test
    void theSecondFactorIsOwedByPrivilegedUsersUnlessByAll() {
        assertFalse(new Policy(Map.of()).stepsUpEverybody());
        assertTrue(policy("step-up.users", "all").stepsUpEverybody());
        assertTrue(Policy.complaint(Map.of("logout-relay.step-up.users", "everybody")).contains("privileged or all"));
    }

    @Test
    void aComplaintNamesTheAttributeAndWhatThereIs() {
        String trigger = Policy.complaint(Map.of("logout-relay.policy.admin-reset", "off"));
        assertTrue(trigger.startsWith("logout-relay.policy.admin-reset names no trigger"));
        assertTrue(trigger.contains("admin-reset-password"));
        String step = Policy.complaint(Map.of("logout-relay.policy.admin-logout", "off, sessions"));
        assertTrue(step.contains("'off'"));
        assertTrue(step.contains("recovery-codes"));
        assertTrue(Policy.complaint(Map.of("logout-relay.mode", "dry-run")).contains("shadow"));
        assertTrue(Policy.complaint(Map.of("logout-relay.recent-factors.window", "1d")).contains("86400"));
    }

    @Test
    void whatIsMeantAndWhatIsNotOursGivesNoComplaint() {
        assertNull(Policy.complaint(Map.of("logout-relay.policy.admin-logout", "sessions, factors", "logout-relay.mode", "shadow",
                "logout-relay.policy.email-changed", "", "frontendUrl", "https://idp.example.org")));
    }
}
