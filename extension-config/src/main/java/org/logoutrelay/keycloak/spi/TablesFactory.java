package org.logoutrelay.keycloak.spi;

import java.util.List;

import org.keycloak.connections.jpa.entityprovider.JpaEntityProvider;
import org.keycloak.connections.jpa.entityprovider.JpaEntityProviderFactory;
import org.keycloak.models.KeycloakSession;
import org.logoutrelay.keycloak.base.PlainFactory;
import org.logoutrelay.keycloak.client.IssuerRow;
import org.logoutrelay.keycloak.containment.RealmLogoutRow;
import org.logoutrelay.keycloak.containment.WatchRow;
import org.logoutrelay.keycloak.directory.DirectoryRow;
import org.logoutrelay.keycloak.directory.OwnChangeRow;
import org.logoutrelay.keycloak.directory.SeenRow;
import org.logoutrelay.keycloak.gate.NodeRow;
import org.logoutrelay.keycloak.gate.WatermarkRow;
import org.logoutrelay.keycloak.ledger.LedgerRow;
import org.logoutrelay.keycloak.ledger.TemplateRow;
import org.logoutrelay.keycloak.login.StepUpRow;
import org.logoutrelay.keycloak.outbox.AnswerRow;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.rotation.CallerRow;
import org.logoutrelay.keycloak.rotation.RotationRow;
import org.logoutrelay.keycloak.upstream.SourceRow;
import org.logoutrelay.keycloak.upstream.WordRow;
import org.logoutrelay.keycloak.workload.WorkloadRow;

/** Puts our tables into Keycloak's own database, so that a row can commit with a password. */
public class TablesFactory extends PlainFactory<JpaEntityProvider> implements JpaEntityProviderFactory {
    /** Keycloak names Liquibase's table after the first ten characters; they must not be those of another extension. */
    static final String ID = "logoutrelay";

    private static final JpaEntityProvider TABLES = new JpaEntityProvider() {
        @Override
        public List<Class<?>> getEntities() {
            return List.of(LedgerRow.class, TemplateRow.class, WatermarkRow.class, OutboxRow.class, AnswerRow.class,
                    RealmLogoutRow.class, StepUpRow.class, WatchRow.class, IssuerRow.class, NodeRow.class, DirectoryRow.class, SeenRow.class,
                    OwnChangeRow.class, SourceRow.class, WordRow.class, RotationRow.class, CallerRow.class, WorkloadRow.class);
        }

        @Override
        public String getChangelogLocation() {
            return "META-INF/logout-relay-changelog.xml";
        }

        @Override
        public String getFactoryId() {
            return ID;
        }

        @Override
        public void close() {
            // holds nothing
        }
    };

    @Override
    public JpaEntityProvider create(KeycloakSession session) {
        return TABLES;
    }

    @Override
    public String getId() {
        return ID;
    }
}
