package org.logoutrelay.keycloak.client;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** The issuer of a realm as its relay is configured for it. */
@Entity
@Table(name = "LOGOUT_RELAY_ISSUER")
public class IssuerRow {
    @Id
    @Column(name = "REALM_ID")
    String realmId;

    @Column(name = "ISS")
    String iss;
}
